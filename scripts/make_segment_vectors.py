"""Write the segment counts of generated texts, by Twilio's own calculator, for the tests.

    python scripts/make_segment_vectors.py                  # tests/api/segment_vectors.json, 1,500 texts
    python scripts/make_segment_vectors.py --compare 20000  # compare 20,000 other texts with api/segments.py

Requires node and npm: the script installs ``sms-segments-calculator`` into a temporary folder. Each text is stored as
repeated characters, ``[["a", 159], ["€", 1]]``, to keep the file small.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
VECTORS = ROOT / "tests" / "api" / "segment_vectors.json"
CALCULATOR = "sms-segments-calculator@1.3.0"

PROGRAM = """
const { SegmentedMessage } = require("sms-segments-calculator");
const texts = JSON.parse(require("fs").readFileSync(0, "utf8"));
const counts = texts.map(([body, smart]) => {
  const m = new SegmentedMessage(body, "auto", smart);
  const gsm = m.encodingName === "GSM-7";
  return [m.encodingName, m.segmentsCount, m.messageSize / (gsm ? 7 : 16)];
});
console.log(JSON.stringify(counts));
"""

GSM = "abc xyz XYZ 019 @£$¥èéùìòÇØøÅåΔΦΓΛΩΠΨΣΘΞÆæßÉ!\"#¤%&'()*+,-./:;<=>?¡ÄÖÑÜ§¿äöñüà\n\r"
EXTENSION = "^{}\\[~]|€\f"
SMART = "“”‘’«»–—…•½‹›´`　\u00a0\u200b\u2028\t！＃Ａ９"
UCS2 = "дЖшéçëîñ漢字かなカナ한글각ไทยก\u0e33अआहि\u0301\u0308\u0902\u093f\u200c\ufe0f☃★\x00\x1b"
EMOJI = [
    *("👍", "😀", "🚀", "👩", "💋", "👍🏽", "👩‍💻", "👨‍👩‍👧‍👦", "❤️", "🇩🇪", "🇺🇸🇫🇷", "👩🏿‍🚀", "☝🏻", "1️⃣", "🏴󠁧󠁢󠁥󠁮󠁧󠁿"),
    *("e\u0301", "각", "नि", "กำ", "𝔘", "𐍈", "ᄀ", "\u200d", "🇩", "🏽"),
]
STICKY = "\u0301\u0308\u0902\u093f\u0e33\u200c\u200d\ufe0fᄀ🇩🏽"
"""Characters that join the preceding one. They are not repeated: the calculator cannot split a long cluster."""


def generate_runs(random: random.Random) -> list[list[Any]]:
    """Return a text as runs of characters; many texts end close to the end of a segment."""
    alphabets: list[Any] = [
        GSM,
        GSM,
        GSM + EXTENSION,
        EXTENSION,
        SMART,
        GSM + SMART,
        UCS2,
        EMOJI,
        [*EMOJI, *UCS2, *GSM],
    ]
    alphabet = random.choice(alphabets)
    runs: list[list[Any]] = []
    if random.random() < 0.2:  # a character across a segment end: three segments if it is kept whole, else two
        character = random.choice([*EMOJI, *EXTENSION])
        size = len(character.encode("utf-16-le")) // 2
        filler, room = ("a", 153) if character in EXTENSION else ("д", 67)
        before = random.randint(1, size - 1) if size > 1 else 1
        return [[filler, room - before], [character, 1], [filler, room - max(1, size - before)]]
    for _ in range(random.choice((0, 1, 1, 2, 3, 6, 12))):
        character = random.choice(alphabet)
        edge = random.choice((1, 2, 33, 35, 66, 67, 70, 134, 152, 153, 160, 306))
        if character in STICKY:
            edge = 1
        times = edge + random.choice((-1, 0, 0, 1)) if random.random() < 0.5 else random.randint(1, 6)
        runs.append([character, max(1, times // (len(character.encode("utf-16-le")) // 2))])
    if random.random() < 0.4:
        runs += [[random.choice(random.choice(alphabets)), 1], [random.choice(GSM), random.randint(1, 160)]]
    return runs


def to_text(runs: list[list[Any]]) -> str:
    return "".join(character * times for character, times in runs)


def count_with_calculator(texts: list[tuple[str, bool]]) -> list[list[Any]]:
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["npm", "install", "--silent", "--no-audit", "--prefix", folder, CALCULATOR], check=True)
        (Path(folder) / "count.js").write_text(PROGRAM, encoding="utf-8")
        completed = subprocess.run(
            ["node", "count.js"], cwd=folder, input=json.dumps(texts), capture_output=True, text=True, check=True
        )
    counts: list[list[Any]] = json.loads(completed.stdout)
    return counts


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--compare", type=int, metavar="N", help="compare N other texts with api/segments.py instead of writing a file"
    )
    parser.add_argument("--seed", type=int, default=None)
    arguments = parser.parse_args()
    seed = (
        arguments.seed if arguments.seed is not None else (1 if arguments.compare is None else random.randrange(2**32))
    )
    source = random.Random(seed)
    texts = [(generate_runs(source), source.random() < 0.3) for _ in range(arguments.compare or 1500)]
    expected = count_with_calculator([(to_text(runs), smart) for runs, smart in texts])
    if arguments.compare is None:
        lines = (json.dumps([runs, smart, *counts]) for (runs, smart), counts in zip(texts, expected, strict=True))
        VECTORS.write_text("[\n" + ",\n".join(lines) + "\n]\n", encoding="utf-8")
        print(f"{len(texts)} texts written to {VECTORS.relative_to(ROOT)}")
        return 0
    sys.path.insert(0, str(ROOT))
    from airflow_provider_twilio.api.segments import count

    differing = 0
    for (runs, smart), counts in zip(texts, expected, strict=True):
        actual = count(to_text(runs), smart)
        if [actual.encoding, actual.segments, actual.units] != counts:
            differing += 1
            print(f"{json.dumps(runs)} smart={smart}: expected {counts}, got {actual}")
    print(f"{differing} of {len(texts)} differ (seed {seed})")
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())
