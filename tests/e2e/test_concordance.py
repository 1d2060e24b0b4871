"""docs/book/words.md, the concordance: each sentence and identifier of the seed, and a name of the code for it.

Only this finds a row that a renaming has left behind. The identifiers below are those of the text, in its order.
"""

import re

import test_docs

PAGE = "docs/book/words.md"
IDENTIFIERS = """
DESC_CNT memory_block_desc block_size blocks_number free_block memory_block free_block arena desc cnt large
block_desc_init desc_array desc_idx block_size blocks_per_arena PG_SIZE sizeof list_init free_list memory_init put_str
mem_bytes_total 0xb00 mem_pool_init k_block_descs""".split()
SENTENCES = 20
VERDICT = re.compile(r"(kept|renamed|replaced)(: .+)?$")
WHERE = re.compile(r"`([\w./]+)`: (`\w+(?:\(\))?`(?:, `\w+(?:\(\))?`)*)")


def tables():
    """{heading: rows}"""
    sections = re.split(r"^## ", test_docs.read(PAGE), flags=re.MULTILINE)[1:]
    return {section.splitlines()[0]: [[cell.strip() for cell in line.split("|")[1:-1]]
                                      for line in section.splitlines() if line.startswith("| ")][1:]
            for section in sections}


def identifier(cell):
    return re.match(r"`(?:struct )?(\w+)", cell)[1]


def test_every_sentence_and_identifier_is_there():
    found = tables()
    assert len(found["The sentences"]) == SENTENCES
    assert [identifier(row[0]) for row in found["The identifiers"]] == IDENTIFIERS


def test_every_row_leads_to_a_name():
    for heading in ("The sentences", "The identifiers", "The terms"):
        for row in tables()[heading]:
            places = WHERE.findall(row[2])
            assert places and "; ".join(f"`{path}`: {names}" for path, names in places) == row[2], row
            for path, names in places:
                text = test_docs.read(path)
                for name in re.findall(r"`(\w+)", names):
                    assert re.search(rf"\b{name}\b", text), f"{name} is not in {path}"


def test_what_is_kept_has_its_name():
    for row in tables()["The identifiers"]:
        verdict = VERDICT.match(row[3])
        assert verdict, row
        assert verdict[1] == "kept" or verdict[2], f"why: {row}"
        names = re.findall(r"`(\w+)(?:\(\))?`", row[2])
        if verdict[1] == "kept" and not row[0].startswith("`0x"):
            assert identifier(row[0]) in names, row


def test_what_is_replaced_says_why():
    for row in tables()["The sentences"]:
        verdict = VERDICT.match(row[3])
        assert verdict and (verdict[1] == "kept" or verdict[2]), row


def test_words_that_the_text_has_not_are_words_of_the_code():
    for row in tables()["Words that the text does not have"]:
        files = re.findall(r"`((?:kernel|lib|boot)/[\w./]+)`", row[-1])
        text = "".join(test_docs.read(path) for path in files) or test_docs.read("kernel/heap.h")
        for name in re.findall(r"`(?:struct )?(\w+)[\[\]()]*`", row[-1]):
            assert re.search(rf"\b{name}\b", text), row
