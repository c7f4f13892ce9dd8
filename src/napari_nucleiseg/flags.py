"""Settings classes as command-line flags: one field is one flag with its help and choices."""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

import typer
import yaml
from pydantic.fields import FieldInfo

from .config import Config, range_of, value_type
from .errors import SettingError, reason
from .registry import Registry

RECIPES = Path(__file__).parent / "recipes"


def flag_name(field: str) -> str:
    """Spell a field's name as a flag: ``min_area_px`` is ``--min-area-px``."""
    return "--" + field.replace("_", "-")


def flag_fields(config: type[Config]) -> dict[str, FieldInfo]:
    """Fields that a flag can hold: text, numbers, switches and choices, not tables of settings."""
    return {
        name: field for name, field in config.model_fields.items() if _flag_type(field) is not None
    }


def with_settings(
    config: type[Config], without: Collection[str] = ()
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command a flag for each field of a settings class.

    Parameters
    ----------
    config : subclass of Config
        Help, range, choices and default of the flags come from its fields; `parse_flags` checks
        the values by the class itself, so that they are the same here as in a form or a file.
    without : collection of str
        Fields that the command sets by itself.

    Returns
    -------
    callable
        Decorator of a command that takes ``settings``, a dict: those the user has set, as text.
    """
    fields = {n: field for n, field in flag_fields(config).items() if n not in without}

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(command)
        def with_flags(ctx: typer.Context, **values: Any) -> None:
            settings = {}
            for name in fields:
                value = values.pop(name)
                source = ctx.get_parameter_source(name)
                if source is not None and source.name != "DEFAULT":
                    settings[name] = value
            command(**values, settings=settings)

        own = [p for p in signature_of(command) if p.name != "settings"]
        context = inspect.Parameter(
            "ctx", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context
        )
        set_signature(with_flags, [context, *own, *(_flag(n, f) for n, f in fields.items())])
        return with_flags

    return decorate


def signature_of(command: Callable[..., Any]) -> list[inspect.Parameter]:
    """Parameters of a command with their annotations evaluated."""
    return list(inspect.signature(command, eval_str=True).parameters.values())


def set_signature(command: Callable[..., Any], parameters: Iterable[inspect.Parameter]) -> None:
    """Make a wrapper look as if it had these parameters, for Typer."""
    keyword = inspect.Parameter.KEYWORD_ONLY
    named = [p.replace(kind=keyword) for p in parameters]
    command.__signature__ = inspect.Signature(named)  # type: ignore[attr-defined]
    command.__annotations__ = {p.name: p.annotation for p in named}


def _flag_type(field: FieldInfo) -> type | None:
    """Type Typer shall read, or None where a flag cannot hold the value.

    All but switches are read as text: the settings class turns it into what it is to be, and says
    it in the same words as everywhere if it cannot.
    """
    kind = value_type(field)
    if kind is bool:
        return bool
    return str if kind in (str, int, float) or get_origin(kind) is Literal else None


def _flag(name: str, field: FieldInfo) -> inspect.Parameter:
    """One flag as a parameter of a command."""
    kind, default = _flag_type(field), field.default
    spelled = flag_name(name)
    if kind is bool:
        spelled += f"/--no-{spelled[2:]}"
    value = value_type(field)
    choices = "|".join(map(str, get_args(value))) if get_origin(value) is Literal else None
    option = typer.Option(
        spelled,
        help=_sentence(field) + _known(name),
        metavar=choices or {int: "NUMBER", float: "NUMBER", str: "TEXT"}.get(value),
        rich_help_panel="Settings",
        show_default=default is not None,
    )
    if kind is str and default is not None:
        default = str(default)
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        default=default,
        annotation=Annotated[kind | None if default is None else kind, option],  # type: ignore[operator]
    )


def _sentence(field: FieldInfo) -> str:
    """Help of a flag: the field's description, and its range in words."""
    text = field.description or ""
    text = text[:1].upper() + text[1:]
    words = range_of(field)
    return f"{text}; {words}." if words else f"{text}."


def parse_flags(
    config: type[Config], flags: Mapping[str, Any], others: Mapping[str, Any] | None = None
) -> Any:
    """Make settings from flags, which are named as the user wrote them where they are wrong.

    Parameters
    ----------
    config : subclass of Config
    flags : mapping
        What `with_settings` gives.
    others : mapping, optional
        Settings from elsewhere; flags win over them.

    Raises
    ------
    SettingError
        In one sentence: which flag or setting, which value, what is allowed.
    """

    def spelled(name: str, value: Any) -> str:
        return f"{flag_name(name)} {value}" if name in flags else f"{name} = {value!r}"

    return config.parse({**(others or {}), **flags}, spelled=spelled)


_PACKAGE = __name__.rpartition(".")[0]
# settings whose value is a name in a folder
_FOLDERS = {
    name: Registry(f"{_PACKAGE}.{folder}", name)
    for name, folder in (
        ("architecture", "models"),
        ("optimizer", "optimizers"),
        ("schedule", "schedules"),
        ("loss", "losses"),
    )
}


def _known(name: str) -> str:
    """Names that a flag takes, where they are files in a folder."""
    return f" Known: {', '.join(_FOLDERS[name].names())}." if name in _FOLDERS else ""


def describe_part(part: str) -> str:
    """Tell what an architecture, optimizer or schedule is, and how its settings are given.

    Parameters
    ----------
    part : str
        Its name.

    Raises
    ------
    SettingError
        If there is none; the message lists the known ones.
    """
    found = [(name, registry) for name, registry in _FOLDERS.items() if part in registry.names()]
    if not found:
        known = (f"{name}: {', '.join(r.names())}" for name, r in _FOLDERS.items())
        raise SettingError("Nothing has this name", repr(part), f"Known: {'; '.join(known)}")
    lines = []
    for name, registry in found:
        module = registry.module(part)
        lines += [f"--{name} {part}", "", inspect.cleandoc(module.__doc__ or part), ""]
        for setting, value in (
            ("learning_rate", getattr(module, "LEARNING_RATE", None)),
            ("weight_decay", getattr(module, "WEIGHT_DECAY", None)),
        ):
            if value is not None:
                lines += [f"{flag_name(setting)} {value:g}", "    The default."]
        for option, field in module.Options.model_fields.items():
            default = field.get_default(call_default_factory=True)
            default = list(default) if isinstance(default, tuple) else default
            lines += [f"--set {name}_options.{option}={default}", f"    {_sentence(field)}"]
    return "\n".join(lines)


def recipe_names() -> list[str]:
    """Names of the recipes that come with the package."""
    return sorted(path.stem for path in RECIPES.glob("*.yaml"))


def read_recipe(name: str) -> dict[str, Any]:
    """Read the settings of a recipe.

    Parameters
    ----------
    name : str
        One that comes with the package, or the path of a YAML file.

    Raises
    ------
    SettingError
        If there is none, or if it is not a table of settings.
    """
    path = RECIPES / f"{name}.yaml" if name in recipe_names() else Path(os.path.expanduser(name))
    if not path.is_file():
        raise SettingError(
            "There is no such recipe",
            repr(name),
            f"Known: {', '.join(recipe_names())}; or give the path of a YAML file",
        )
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise SettingError("The recipe cannot be read", f"{path} ({reason(error)})") from error
    if not isinstance(values, dict):
        raise SettingError(
            "The recipe holds no settings", str(path), "Write one a line: name: value"
        )
    return values


def apply_assignments(
    config: type[Config], values: Mapping[str, Any], assignments: Iterable[str]
) -> dict[str, Any]:
    """Set single values by ``name=value``, also inside tables: ``augment.blur=0.2``.

    Parameters
    ----------
    config : subclass of Config
        Whose settings they are.
    values : mapping
        Settings so far; left as they are.
    assignments : iterable of str
        The value is read as YAML, so that numbers, true and lists are what they look like.

    Returns
    -------
    dict
        A copy with the new values; ``config.parse`` checks them.

    Raises
    ------
    SettingError
        If an assignment has no ``=`` or a value that cannot be read.
    """
    result = dict(values)
    for text in assignments:
        name, equals, raw = text.partition("=")
        if not equals or not name.strip():
            raise SettingError(
                "A setting is written as name=value", repr(text), "For example augment.blur=0.2"
            )
        try:
            value = yaml.safe_load(raw)
        except yaml.YAMLError as error:
            raise SettingError("The value of a setting cannot be read", repr(text)) from error
        if isinstance(value, str):
            value = _number(value)
        first, *rest = name.strip().replace("-", "_").split(".")
        table = result
        for inner in rest:
            below = table.get(first)
            if below is not None and not isinstance(below, dict):
                raise SettingError("Only a table of settings has inner settings", repr(text))
            table[first] = dict(below or {})
            table, first = table[first], inner
        table[first] = value
    if unknown := [name for name in result if name not in config.model_fields]:
        known = ", ".join(config.model_fields)
        raise SettingError("Unknown setting", unknown[0], f"Known: {known}")
    return result


def _number(text: str) -> str | float:
    """Read 1e-3 as a number, which YAML 1.1 takes for text."""
    try:
        return float(text)
    except ValueError:
        return text
