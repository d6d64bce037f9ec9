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
ahead, from two tidal constituents and the height of the kerb.

## Try it

```bash
python3 tides.py --csv forecast.csv
```

| Hours | Sea level | Harbour road |
|-------|-----------|--------------|
| 0–2   | 3.7 m     | closed       |
| 3–10  | 1.6 m     | open         |
| 11–13 | 3.6 m     | closed       |

## Next

- [x] Forecast on the command line
- [x] CSV for the town hall
- [ ] Text message an hour before
";

const PROGRAM: &str = r#"#!/usr/bin/env python3
"""When does the harbour road flood?"""

import csv
import sys
from math import cos, tau

KERB = 2.9  # metres above chart datum
MEAN, MOON, SUN = 1.6, 1.6, 0.5  # metres


def level(hour: float) -> float:
    """The sea level from the moon's and the sun's tide."""
    moon = MOON * cos(tau * hour / 12.42)
    return MEAN + moon + SUN * cos(tau * hour / 12)


def main(path: str) -> None:
    with open(path, "w", newline="") as file:
        table = csv.writer(file)
        for hour in range(0, 24, 3):
            height = level(hour)
            closed = height > KERB
            colour = "\033[31m" if closed else "\033[34m"
            bar = "█" * max(1, round(height * 9))
            note = " road closed" if closed else ""
            print(f"{hour:02}:00 {height:4.1f} m {colour}{bar}\033[0m{note}")
            table.writerow([hour, round(height, 2), closed])


if __name__ == "__main__":
    main(sys.argv[-1])
"#;

/// Puts the files there.
pub(crate) fn bring_files(container: &str) {
    write_file(container, "/workspace/README.md", README);
    write_file(container, "/workspace/tides.py", PROGRAM);
}
