"""Count the segments of many generated texts with Twilio's own calculator, and write them down for the tests.

    python scripts/make_segment_vectors.py                  # tests/api/segment_vectors.json, 1,500 texts
    python scripts/make_segment_vectors.py --compare 20000  # instead, compare so many others with api/segments.py

Needs node and npm: it installs ``sms-segments-calculator`` into a temporary folder. A text is written as pieces,
``[["a", 159], ["€", 1]]``, so that the file stays small.
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
const questions = JSON.parse(require("fs").readFileSync(0, "utf8"));
const answers = questions.map(([body, smart]) => {
  const m = new SegmentedMessage(body, "auto", smart);
  const gsm = m.encodingName === "GSM-7";
  return [m.encodingName, m.segmentsCount, m.messageSize / (gsm ? 7 : 16)];
});
console.log(JSON.stringify(answers));
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
"""What joins the character before it without end; the calculator can't cut what outgrows a segment, so few of each."""


def pieces(random: random.Random) -> list[list[Any]]:
    """Give a text as pieces; many end close to where a segment does."""
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
    made: list[list[Any]] = []
    if random.random() < 0.2:  # one character across the end of a segment: two segments if it may be cut, else three
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
        made.append([character, max(1, times // (len(character.encode("utf-16-le")) // 2))])
    if random.random() < 0.4:
        made += [[random.choice(random.choice(alphabets)), 1], [random.choice(GSM), random.randint(1, 160)]]
    return made


def text(pieces: list[list[Any]]) -> str:
    return "".join(character * times for character, times in pieces)


def ask(questions: list[tuple[str, bool]]) -> list[list[Any]]:
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["npm", "install", "--silent", "--no-audit", "--prefix", folder, CALCULATOR], check=True)
        (Path(folder) / "count.js").write_text(PROGRAM, encoding="utf-8")
        asked = json.dumps(questions)
        done = subprocess.run(["node", "count.js"], cwd=folder, input=asked, capture_output=True, text=True, check=True)
    answers: list[list[Any]] = json.loads(done.stdout)
    return answers


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--compare", type=int, metavar="N", help="compare N other texts, and write nothing")
    parser.add_argument("--seed", type=int, default=None)
    arguments = parser.parse_args()
    seed = (
        arguments.seed if arguments.seed is not None else (1 if arguments.compare is None else random.randrange(2**32))
    )
    source = random.Random(seed)
    texts = [(pieces(source), source.random() < 0.3) for _ in range(arguments.compare or 1500)]
    answers = ask([(text(made), smart) for made, smart in texts])
    if arguments.compare is None:
        lines = (json.dumps([made, smart, *answer]) for (made, smart), answer in zip(texts, answers, strict=True))
        VECTORS.write_text("[\n" + ",\n".join(lines) + "\n]\n", encoding="utf-8")
        print(f"{len(texts)} texts in {VECTORS.relative_to(ROOT)}")
        return 0
    sys.path.insert(0, str(ROOT))
    from airflow_provider_twilio.api.segments import count

    wrong = 0
    for (made, smart), answer in zip(texts, answers, strict=True):
        ours = count(text(made), smart)
        if [ours.encoding, ours.segments, ours.units] != answer:
            wrong += 1
            print(f"{json.dumps(made)} smart={smart}: {answer}, and ours {ours}")
    print(f"{wrong} of {len(texts)} differ (seed {seed})")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
