"""Print the oldest versions that setup.cfg allows of what the package and its tests need: ``trio==0.31`` and so on."""

from __future__ import annotations

import configparser
import re
from pathlib import Path

config = configparser.ConfigParser(default_section="options.extras_require")
config.read(Path(__file__).parent.parent / "setup.cfg", encoding="utf-8")
needed = config["options"]["install_requires"] + config["options.extras_require"]["test"]
floors = re.findall(r"^ *([\w-]+)[>=]=([\w.]+)$", needed, re.MULTILINE)
if len(floors) != len(needed.split()):
    raise SystemExit(f"not every line has a floor: {needed}")
print(*(f"{name}=={version}" for name, version in floors), sep="\n")
