"""Compiles the fast path of the reader when the project is built or installed. `pip install -e .` does it again."""

import os
from pathlib import Path
from typing import Any

from Cython.Build import cythonize
from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from setuptools import Distribution, Extension
from setuptools.command.build_ext import build_ext

MODULE = "kmdb_dagster.km_export.line_scanner"


class Compiled(BuildHookInterface):
    """Leaves the module beside its source, where an editable installation finds it, and puts it into the wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002 - Hatch's interface
        """Compile for the Python that runs this."""
        os.chdir(self.root)
        source = Path(*MODULE.split(".")).with_suffix(".pyx")
        command = build_ext(
            Distribution({"ext_modules": cythonize(Extension(MODULE, [str(source)]), build_dir="build")})
        )
        command.inplace = True
        command.ensure_finalized()
        command.run()
        (module,) = command.get_outputs()
        build_data["pure_python"] = False
        build_data["infer_tag"] = True
        build_data["force_include"][module] = str(source.parent / Path(module).name)
