"""A program's day in Python: parsing, dictionaries, strings, objects, sorting. Prints a checksum."""

import json
import re
import zlib


class Entry:
    """An object with attributes of its own."""

    def __init__(self, number):
        self.number = number
        self.name = f"entry-{number * 7919 % 100003}"
        self.words = [self.name[i:] for i in range(5)]


entries = [Entry(n) for n in range(36000)]
entries.sort(key=lambda entry: entry.name)
by_name = {entry.name: entry for entry in entries}
text = json.dumps([{"number": e.number, "name": e.name, "words": e.words} for e in entries])
again = json.loads(text)
counts = {}
for word in re.findall(r"[a-z0-9-]+", text):
    counts[word] = counts.get(word, 0) + 1
lines = "\n".join(f"{word} {counts[word]}" for word in sorted(counts))
packed = zlib.compress(lines.encode())
print(len(by_name), len(again), len(counts), zlib.crc32(zlib.decompress(packed)))
