"""Run code cells as Jupyter would, in this process, and say what that cost: `python -m tools.run_cells CELLS RECORD`.

CELLS is a JSON list of sources. A line with the seconds of processor time, the peak of memory and torch's version is
appended to RECORD. The traceback of a cell that fails goes to standard output, and the exit status is 1.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from .notebooks import peak_memory


def main(cells: Path, record: Path) -> None:
    sys.argv, sys.path[0] = [""], ""  # as in a kernel
    shell = InteractiveShell.instance(config=Config(HistoryManager={"enabled": False}), colors="NoColor")
    for number, cell in enumerate(json.loads(cells.read_text(encoding="utf-8")), 1):
        if not shell.run_cell(cell).success:
            sys.exit(f"in code cell {number}:\n{cell}")
    torch = getattr(sys.modules.get("torch"), "__version__", None)
    # Processor time, in one thread, depends less than the clock on what else the machine does.
    cost = {"seconds": round(time.process_time(), 1), "peak_mb": round(peak_memory() / 1e6), "torch": torch}
    with record.open("a", encoding="utf-8") as file:
        print(json.dumps(cost), file=file)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
