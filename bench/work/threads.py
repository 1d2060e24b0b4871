"""A program's day in Python with four threads: each fills a part, and works on what another has made. Prints checksums.

The threads meet at a barrier when all parts are full, so that the most that lives at a time is the same in every run;
what a thread drops afterwards was made by its neighbour.
"""

import json
import re
import threading
import zlib

THREADS = 4
ENTRIES = 9000

parts = [None] * THREADS
results = [None] * THREADS
full = threading.Barrier(THREADS)


def make(number):
    """A dictionary of words, a text that names them, and the text packed."""
    entries = {}
    for n in range(number, ENTRIES * THREADS, THREADS):
        name = f"entry-{n * 7919 % 100003}"
        entries[name] = {"number": n, "words": [name[at:] for at in range(5)]}
    text = json.dumps(entries)
    return entries, text, zlib.compress(text.encode(), 2)


def work(entries, text, packed):
    """Figures of a part; the part is emptied entry by entry."""
    counts = {}
    for word in re.findall(r"[a-z0-9-]+", text):
        counts[word] = counts.get(word, 0) + 1
    again = json.loads(zlib.decompress(packed))
    same = sum(entries.pop(name) == entry for name, entry in again.items())
    lines = "\n".join(f"{word} {counts[word]}" for word in sorted(counts))
    return len(counts), same, len(entries), zlib.crc32(lines.encode())


def run(number):
    parts[number] = make(number)
    full.wait()
    neighbour = (number + 1) % THREADS
    part, parts[neighbour] = parts[neighbour], None
    results[number] = work(*part)


threads = [threading.Thread(target=run, args=(number,)) for number in range(THREADS)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(*results)
