"""Print the oldest versions that setup.cfg allows of the requirements of the package and its tests: ``trio==0.31`` etc.

With the names of extras, print those of the extras instead.
"""

from __future__ import annotations

import configparser
import re
import sys
from pathlib import Path

config = configparser.ConfigParser(default_section="options.extras_require")
config.read(Path(__file__).parent.parent / "setup.cfg", encoding="utf-8")
extras = config["options.extras_require"]
needed = (
    "\n".join(map(extras.get, sys.argv[1:])) if sys.argv[1:] else config["options"]["install_requires"] + extras["test"]
)
floors = re.findall(r"^ *([\w\[\]-]+)[>=]=([\w.]+)$", needed, re.MULTILINE)
if len(floors) != len(needed.split()):
    raise SystemExit(f"not every line has a floor: {needed}")
print(*(f"{name}=={version}" for name, version in floors), sep="\n")
