//! What a team has in its workspace.
//!
//! For: files that a test looks at, and that look well in a picture.
//! Not for: anything that THON brings along.

use crate::support::write_file;

/// The heading of the team's README.
pub(crate) const HEADING: &str = "Tidewatch";

const README: &str = r"# Tidewatch

*Team Night Owls*

Tells the village **when the harbour road floods**, a day
ahead, from two tides and a kerb.

## Try it

```bash
python3 tides.py --csv forecast.csv
```

| Hours | Sea level  | Harbour road |
|-------|------------|--------------|
| 0–2   | over 2.9 m | closed       |
| 2–10  | lower      | open         |
| 10–14 | over 2.9 m | closed       |

## Next

- [x] Forecast on the command line
- [x] CSV for the town hall
- [ ] Text message an hour before
";

const PROGRAM: &str = r#"#!/usr/bin/env python3
"""When will the harbour road flood?"""

import csv
import sys
from math import cos, tau

KERB = 2.9  # metres, as all heights
MEAN, MOON, SUN = 1.9, 1.4, 0.4


def level(h: float) -> float:
    """The sea under moon and sun."""
    moon = MOON * cos(tau * h / 12.42)
    sun = SUN * cos(tau * h / 12)
    return MEAN + moon + sun


def show(hour: int, height: float):
    wet = height > KERB
    tint = 31 if wet else 34
    bar = "█" * round(height * 10)
    note = "road closed" if wet else ""
    print(f"{hour:02}:00  {height:.1f} m", end="  ")
    print(f"\033[{tint}m{bar}\033[0m", note)


def main(path: str):
    with open(path, "w", newline="") as file:
        table = csv.writer(file)
        for hour in range(0, 24, 3):
            height = level(hour)
            show(hour, height)
            table.writerow([hour, round(height, 2)])


if __name__ == "__main__":
    main(sys.argv[-1])
"#;

/// Puts the files there.
pub(crate) fn bring_files(container: &str) {
    write_file(container, "/workspace/README.md", README);
    write_file(container, "/workspace/tides.py", PROGRAM);
}
