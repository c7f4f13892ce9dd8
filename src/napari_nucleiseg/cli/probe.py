"""``nucleiseg probe``: what each layer of a network has learned."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .console import STANDARD_OUTPUT, JsonFile, in_home, in_words, say, show_or_write

if TYPE_CHECKING:
    from ..explain import Layer


@in_words
def probe(
    source: Annotated[
        str,
        typer.Argument(
            metavar="CHECKPOINT|MODEL",
            show_default=False,
            help="A checkpoint (.pt), the name of a model, or a .safetensors file.",
        ),
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", callback=in_home, help="File of the heat map, a PNG.")
    ] = Path("probe.png"),
    measure: Annotated[
        str,
        typer.Option(
            help="What the heat map shows: quality, stable_rank, condition, rank, learning_rate."
        ),
    ] = "quality",
    squared: Annotated[
        bool, typer.Option("--squared", help="Square the singular values in the stable rank.")
    ] = False,
    json_file: JsonFile = None,
) -> None:
    """Show what each layer of a network has learned.

    A layer is structure and noise. [bold]Rank[/bold] is how many directions stand above the noise,
    [bold]s[/bold] (stable rank) how evenly they are used, 0 to 1, [bold]kappa[/bold] the strongest
    over the weakest, [bold]q[/bold] = arctan(s / kappa) the quality, and Q that of the network.
    The learning rate is there for checkpoints.

    The heat map has a row for each layer and a column for each epoch of a run that was trained with
    --explain, or one column.

    [bold]Examples[/bold]

      nucleiseg probe nuclei
      nucleiseg probe run/last.pt --out run/quality.png
      nucleiseg probe run/last.pt --measure learning_rate --out run/rates.png
    """
    from dataclasses import asdict

    from .. import explain

    epochs: dict[int, list[explain.Layer]] = {}
    if source.endswith(".pt"):
        from ..checkpoint import load_checkpoint
        from ..publishing import probe_checkpoint

        state = load_checkpoint(Path(source))
        if not squared:
            epochs = explain.from_history(state.history)
        layers = probe_checkpoint(state, squared=squared)
        epochs[state.epoch] = layers
    else:
        from ..store import find_model, load_network

        model = find_model(source)
        network = load_network(model)
        weights = {name: p.detach().numpy() for name, p in network.named_parameters()}
        layers = explain.probe(weights, squared=squared)
        epochs[int(model.card.get("training", {}).get("epochs", 0))] = layers
    # refused before anything is written
    picture = explain.heat_map(epochs, measure)
    total = explain.network_quality(layers)
    record = {
        "source": source,
        "quality": total,
        "layers": [asdict(layer) for layer in layers],
        "epochs": {n: [asdict(layer) for layer in found] for n, found in epochs.items()},
    }
    show_or_write(record, json_file, partial(_print_layers, layers, total))
    explain.save_heat_map(picture, out)
    say(f"Heat map: {out}", sys.stderr if json_file == STANDARD_OUTPUT else sys.stdout)


def _print_layers(layers: list[Layer], total: float) -> None:
    """Print what the layers and the whole network have learned to standard output."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("layer", overflow="fold")
    for title in ("shape", "rank", "s", "kappa", "q", "learning rate"):
        table.add_column(title, justify="right", no_wrap=True)
    for layer in layers:
        rate = "" if layer.learning_rate is None else f"{layer.learning_rate:.3g}"
        table.add_row(
            Text(layer.name),
            "x".join(map(str, layer.shape)),
            f"{layer.rank:g}",
            f"{layer.stable_rank:.4f}",
            f"{layer.condition:.3f}",
            f"{layer.quality:.4f}",
            rate,
        )
    console = Console(file=sys.stdout, highlight=False)
    if not sys.stdout.isatty():
        console.width = 160  # a file has no edge to fold at
    console.print(table)
    say(f"Q = {total:.4f}, quality of the network", sys.stdout)
