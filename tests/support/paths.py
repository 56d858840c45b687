"""Where the sources and the data of tests are."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SUPPORT = ROOT / "tests" / "support"
SST2 = Path(os.environ.get("MINIBERT_SST2", ROOT.parent / "shared" / "data" / "sst2"))
