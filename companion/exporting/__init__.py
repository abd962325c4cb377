"""Export: a captioner as files that run without PyTorch, and a runner of these files.

`folder` writes an export and reads it: three ONNX graphs (`graphs`), the weights as plain arrays (`arrays`) and
`manifest.json`, which describes them all. `runner` runs the graphs with onnxruntime. The extra `export` of the package
installs what is needed. `script` makes a script for a page in a browser. Explained in the chapter on captions in real
time.
"""

from companion.exporting.folder import FORMAT, MANIFEST, export, read_manifest, read_weights, restore
from companion.exporting.graphs import PACKAGES, require_packages
from companion.exporting.runner import OnnxCaptioner
from companion.exporting.script import script

__all__ = [
    "FORMAT",
    "MANIFEST",
    "PACKAGES",
    "OnnxCaptioner",
    "export",
    "read_manifest",
    "read_weights",
    "require_packages",
    "restore",
    "script",
]
