"""The command `companion export`: write a captioner as ONNX and as plain arrays."""

import argparse
from pathlib import Path
from typing import Any

from companion.cli.arguments import report_error

ABOUT = "Write a captioner as ONNX graphs and plain arrays, which run without PyTorch."
USE = (
    "DIR gets encoder.onnx, start.onnx and step.onnx, the weights in single precision and as int8, and manifest.json, "
    "which describes them. It must be empty. The searches, greedy or by beam, are not part of the graphs: a program of "
    'yours calls the step once for every word. Needs: pip install "attention-companion[export]".'
)


def add_export(group: Any) -> None:
    """Add the command."""
    parser = group.add_parser("export", help=ABOUT, description=ABOUT, epilog=USE)
    parser.set_defaults(run=export)
    parser.add_argument("weights", metavar="WEIGHTS", help="scenes or photos, which ship, or a folder of a run")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the export")


def export(options: argparse.Namespace) -> int:
    """Export the captioner into an empty folder, and print the size of each file."""
    from companion import checkpoints, exporting
    from companion.cli.commands import claim_output_dir

    try:
        exporting.require_packages()
    except RuntimeError as error:
        return report_error(error)
    captioner = checkpoints.load(options.weights)
    claim_output_dir(options.out)
    manifest = exporting.export(captioner, options.out)
    for name in (*manifest["sha256"], exporting.MANIFEST):
        print(f"{(options.out / name).stat().st_size / 1e6:7.1f} MB  {options.out / name}")
    return 0
