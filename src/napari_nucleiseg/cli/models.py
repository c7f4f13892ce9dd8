"""``nucleiseg models``: the models on this computer, and their cards."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from .console import in_words, say

app = typer.Typer(
    no_args_is_help=True, rich_markup_mode="rich", help="Models on this computer, and their cards."
)


@app.command("list")
@in_words
def list_models() -> None:
    """List the models that segment --model takes by name, best first.

    AP and speed (megapixels in a second on one CPU core) are those of the model's card.
    """
    from .. import wording
    from ..store import list_models as find_all
    from ..store import model_problems, user_folder

    for model in find_all():
        title = wording.model_title(model)
        say(f"{model.name:<16} {title}  ({model.architecture}, {model.path})", sys.stdout)
    for problem in model_problems():
        say(problem)
    say(f"Models put into {user_folder()} are listed too.")


@app.command("show")
@in_words
def show_model(
    name: Annotated[
        str,
        typer.Argument(metavar="NAME", show_default=False, help="A name, or a .safetensors file."),
    ],
) -> None:
    """Show the card of a model: what it was trained on, by what command, and how good it is."""
    import yaml

    from ..store import find_model

    model = find_model(name)
    card = yaml.safe_dump(dict(model.card), sort_keys=False, allow_unicode=True, width=96)
    say(f"{model.title}\n{model.path}\n\n{card.rstrip()}", sys.stdout)
