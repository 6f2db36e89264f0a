"""Reads dashboards with Grafana's own types, and tells what they do not know: each file is written out again and compared."""

import json
import sys

from grafana_foundation_sdk.cog import plugins
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

plugins.register_default_plugins()

# Settings of an annotation that its data source defines, not Grafana.
OF_DATA_SOURCES = {"query", "textColumn", "textFormat", "titleFormat", "useValueForTime"}


def lost(told, kept, path):
    """The paths in `told` that are not in `kept`, or other there."""
    if isinstance(told, dict) and isinstance(kept, dict):
        for key, value in told.items():
            if key in OF_DATA_SOURCES and path.startswith(".annotations."):
                continue
            if key not in kept:
                yield f"{path}.{key}"
            else:
                yield from lost(value, kept[key], f"{path}.{key}")
    elif isinstance(told, list) and isinstance(kept, list) and len(told) == len(kept):
        for index, value in enumerate(told):
            yield from lost(value, kept[index], f"{path}[{index}]")
    elif told != kept:
        yield f"{path}: {told!r} became {kept!r}"


failures = 0
for file in sys.argv[1:]:
    with open(file) as opened:
        told = json.load(opened)
    kept = json.loads(JSONEncoder(sort_keys=True).encode(Dashboard.from_json(told)))
    for path in lost(told, kept, ""):
        print(f"{file}: {path}")
        failures += 1
print(f"{len(sys.argv) - 1} dashboards")
sys.exit(failures > 0)
