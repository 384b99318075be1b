"""LightGBM without scikit-learn and pandas, which it imports wherever they are installed.

Both are optional to it, and nothing here hands it anything of theirs: they would take each process
1 to 2 s and 130 MiB (``python benchmarks/lightgbm_import.py``). Other libraries import them as
ever.
"""

from __future__ import annotations

import sys

# To the import system, None is a module that is not there.
_hidden = {name: None for name in ("sklearn", "pandas") if name not in sys.modules}
sys.modules.update(_hidden)  # type: ignore[arg-type]
try:
    import lightgbm
finally:
    for _name in _hidden:
        del sys.modules[_name]

__all__ = ["lightgbm"]
