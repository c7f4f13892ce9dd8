"""Put the results of a study into the documentation: every table as CSV, every figure, the report.

    python benchmarks/publish_study.py STUDY docs/study/NAME

STUDY is the ``--out`` of ``nucleiseg study run``.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from napari_nucleiseg.study.report import report

# panels as SVG hold their pictures as text
MOST_BYTES = 400_000


def publish(study: Path, out: Path) -> None:
    """Write the report anew and copy what belongs into a repository."""
    study, out = study.resolve(), out.resolve()
    if study.is_relative_to(out) or out.is_relative_to(study):
        raise SystemExit(f"{out} would be replaced and holds the study, or lies in it")
    for _ in report(study):
        pass
    shutil.rmtree(out, ignore_errors=True)
    for path in sorted([*study.glob("*.csv"), *study.glob("tables/*"), *study.glob("figures/*")]):
        if path.stat().st_size > MOST_BYTES and path.suffix == ".svg":
            continue
        place = out / path.relative_to(study)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, place)
    shutil.copyfile(study / "report.md", out / "report.md")


def main() -> None:
    """Publish one study."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("study", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    publish(arguments.study, arguments.out)
    total = sum(p.stat().st_size for p in arguments.out.rglob("*") if p.is_file())
    print(f"{arguments.out}: {total / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
