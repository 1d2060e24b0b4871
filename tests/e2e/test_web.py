"""The page of `make web` in a real browser: what it would draw is what the kernel says, word for word.

The kernel's own answers are typed for at its prompt; the page's come from the records it read from the guest's memory.
Where node, npm or Chromium is missing, the tests are skipped with a line that says so.
"""

import json
import os
import re
import shutil
import subprocess
import sys

import pytest

import cli
from conftest import ROOT

sys.path += [os.path.join(ROOT, "web"), os.path.join(ROOT, "tools", "tour")]

import browser as browser_of_web  # noqa: E402 (the line above makes it findable)
import symtab  # noqa: E402
import tourfile  # noqa: E402

pytestmark = pytest.mark.xdist_group("make")

PYTHON = "/usr/bin/python3"
CHROMIUM = browser_of_web.CHROMIUM
WEB = os.path.join(ROOT, "build", "web")
ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


def make(*words):
    done = subprocess.run(["make", "--no-print-directory", "-s", *words], cwd=ROOT, capture_output=True, text=True,
                          timeout=500, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def built():
    for name in ("node", "npm"):
        if not shutil.which(name):
            pytest.skip(str(cli.missing(name)))
    make("web")


@pytest.fixture(scope="module")
def address(built):
    with browser_of_web.served(WEB) as where:
        yield where


class Browser(browser_of_web.Browser):
    """With what only tests ask for."""

    def ask(self, line):
        """What the kernel prints for a line at its prompt, without colours."""
        before = self.eval("granary.console().length")
        self.eval(f"granary.type({json.dumps(line)} + '\\r')")
        self.until(f"granary.console().length > {before} + {len(line)} && granary.console().endsWith('granary> ')")
        text = self.eval(f"granary.console().slice({before})")
        return [ANSI.sub("", each).rstrip() for each in text.split("\r\n")[1:-1]]

    def trouble(self):
        return self.eval("document.getElementById('trouble').textContent")

    def end(self):
        assert self.close() == []


@pytest.fixture(scope="module")
def browser(built):
    if not os.path.exists(CHROMIUM):
        pytest.skip(str(cli.missing("chromium")))
    made = Browser()
    yield made
    made.end()


def same_as_the_kernel(browser):
    """The page's newest picture against the kernel's answers: it is gone to, since a busy machine redraws late."""
    newest = "granary.seek(granary.history.length)"
    lines = browser.ask("descs")
    assert browser.eval(f"{newest}, granary.heap.descsText()") == lines
    lines = browser.ask("map")
    drawn = [line.rstrip() for line in browser.eval(f"{newest}, granary.heap.mapText()")]
    assert drawn == lines[:len(drawn)] and len(drawn) > 10
    state = browser.eval("granary.state()")
    browser.eval("granary.live()")
    return state


def test_units(built):
    """The decoding, the history and the records' reader under any bytes: web/test."""
    said = re.sub(r"\x1b\[[0-9;]*m", "", make("web-test"))  # in colour, where CI is set
    assert re.search(r"Tests +\d+ passed", said), said


@pytest.mark.parametrize("build, name", [("build", "map.json"), ("build/check", "checked.json")])
def test_a_place_has_the_kernels_name(built, build, name):
    """The map's names are those of the table that is linked into that kernel, twins of another file among them."""
    with open(os.path.join(WEB, "assets", name), encoding="utf-8") as file:
        known = json.load(file)
    with open(os.path.join(ROOT, build, "gen", "symtab.c"), encoding="utf-8") as file:
        table = [[int(address, 16), text] for address, text in symtab.ENTRY.findall(file.read())]
    assert known["names"] == [entry for entry in table if entry[0] < known["text_end"]]
    assert len(known["names"]) > 1000


def test_the_first_picture_is_soon_there(browser, address):
    browser.do(goto=address)
    browser.eval("granary.ready.then(() => true)")
    assert browser.trouble() == ""
    assert browser.eval("granary.state().events") >= 0
    took = browser.eval("performance.now()")
    assert took < 30000, took  # this machine: 1 s; others run tests beside it
    browser.until("granary.console().endsWith('granary> ')")
    assert browser.eval("granary.machine.reader.lost + granary.machine.reader.missing") == 0


def test_ten_thousand_events_and_the_kernels_own_answers(browser, address):
    browser.boot(address, "events=com2")  # with the demonstration
    state = same_as_the_kernel(browser)
    assert state["events"] > 10000
    assert browser.eval("granary.machine.reader.lost + granary.machine.reader.missing") == 0
    for size in (24, 700, 5000, 200000):
        browser.ask(f"malloc {size}")
    state = same_as_the_kernel(browser)
    assert state["large_frames"] == 51 and state["live"] == 5
    event = browser.eval("granary.lastCall()")
    assert event["size"] == 200000
    for address_ in (event["result"], event["result"] + 4097, 0x88000000, 0x88000007, 0x88003000, 0x88010020,
                     0x88200000):
        line, = browser.ask(f"who {address_:#x}")
        said = line.split(": ", 1)[1]
        assert browser.eval(f"granary.who({address_})") == said, line


def test_time_goes_both_ways(browser):
    """The heap of the test before. The same position gives the same picture, and its words, each time."""
    picture = "(granary.seek({}), JSON.stringify([granary.heap.descsText(), granary.heap.mapText(), granary.state()]))"
    last = browser.eval("granary.history.length")
    places = [0, 1, last // 3, last // 2, last - 1, last]
    first = {place: browser.eval(picture.format(place)) for place in places}
    pixels = ("(granary.seek({}), [...document.querySelectorAll('canvas')].map((canvas) => canvas.toDataURL()))")
    drawn = {place: browser.eval(pixels.format(place)) for place in places}
    for place in (*reversed(places), *places[::2], *places[1::2]):
        assert browser.eval(picture.format(place)) == first[place], place
        assert browser.eval(pixels.format(place)) == drawn[place], place
    assert len(set(first.values())) >= 4
    took = browser.eval("Math.max(...[0, 1e9, 5000, 1].map((n) => { const t = performance.now(); granary.seek(n); "
                        "return performance.now() - t; }))")
    assert took < 100, took
    browser.eval("granary.live()")


def test_a_refused_call_stops_the_page(browser, address):
    browser.boot(address)
    browser.eval("document.getElementById('when').value = 'refused'")
    browser.ask("bugs 1")
    assert browser.eval("granary.follow") is False
    event = browser.eval("granary.history.entry(granary.history.position - 1)")
    assert event["refused"] and event["kind"] == 1
    assert ", free" in browser.eval(f"granary.who({event['pointer']})")
    assert browser.eval("document.getElementById('who').textContent").endswith(
        browser.eval(f"granary.who({event['pointer']})"))
    browser.until("document.querySelector('#events [aria-current]')?.textContent.includes('refused')")
    report = browser.eval("document.getElementById('report').textContent")
    assert report.startswith("heap: double free: ") and report in browser.eval("granary.console()")
    assert browser.eval(f"granary.arenas.cells.filter((cell) => cell.lit).map((cell) => cell.address)") == [
        event["pointer"]]  # the block lights up
    position = browser.eval("granary.history.position")
    assert browser.eval("granary.step(-1), document.getElementById('report').textContent") == ""
    browser.eval(f"granary.seek({position})")
    assert browser.eval("document.getElementById('report').textContent") == report
    browser.eval("document.getElementById('when').value = ''")
    same_as_the_kernel(browser)


@pytest.mark.parametrize("build", ["fast", "checked"])
@pytest.mark.parametrize("region, struct, field, value, words", [
    ("arenas", "arena", "seal", 1, "an arena whose record was overwritten"),
    ("arenas", "arena", "desc", 0x00100000, "an arena whose record was overwritten"),
    ("arenas", "arena", "head", 0x30, "an arena whose record was overwritten"),
    ("arenas", "arena", "base", 0x1000, "an arena whose record was overwritten"),
    ("arenas", "arena", "map", 0xff, "block 0 of the 128-byte arena"),  # bits that are not true: no seal is over them
    ("kernel frames", "frame", "run", 0x3fffffff, "block 0 of the 128-byte arena"),
    ("user frames", "frame", "run", 0xc0000000, ""),
])
def test_a_corrupt_record_is_drawn_as_one(browser, address, build, region, struct, field, value, words):
    """Bits of a record are turned over in the guest's memory: the kernel and the page call it the same."""
    browser.do(goto=f"{address}?build={build}")
    browser.until("granary.console?.().endsWith('granary> ')")
    browser.eval(f"""(() => {{
        const {{ machine, layout }} = granary, {{ start }} = machine.regions.list.find(
            (each) => each.name === "{region}");
        const at = start + layout.offset("{struct}", "{field}");
        machine.processor.setWord(at, machine.processor.word(at) ^ {value});
    }})()""")
    browser.ask("pools")  # a line of the console: a picture
    same_as_the_kernel(browser)
    line, = browser.ask("who 0x88000000")
    assert words in line
    said = browser.eval("granary.seek(granary.history.length), granary.who(0x88000000)")
    assert line.split(": ", 1)[1] == said
    assert browser.eval("granary.machine.regions.missed") == 0
    assert browser.trouble() == ""


def test_typing_in_the_terminal(browser, address):
    browser.boot(address)
    browser.do(click="#terminal")
    for key in ("p", "s", "Enter"):
        browser.do(press=key)
    browser.until("granary.console().includes('idle')")


def test_pointing_and_keys(browser, address):
    """The arrow keys walk the cells, and the sentence is that of `who`."""
    browser.boot(address)
    browser.eval("granary.seek(granary.history.length), document.getElementById('pools').focus()")
    browser.do(press="ArrowRight")
    assert "block 0 of the 128-byte arena 0x88000000" in browser.eval("document.getElementById('who').textContent")
    browser.do(press="Enter")
    assert browser.eval("granary.size") == 128
    browser.eval("document.querySelector('#descs tr:nth-child(2)').click()")
    assert browser.eval("granary.size") == 32


def test_the_keyboard_reaches_everything(browser, address):
    """Esc leaves the console, whose Tab is the prompt's; Tab goes on to each control, and Enter presses it."""
    browser.boot(address)
    browser.do(click="#terminal")
    browser.do(press="Escape")
    assert browser.eval("document.activeElement.textContent") == "malloc 24"
    wanted = set(browser.eval("[...document.querySelectorAll('button, select, input, textarea, canvas')]"
                              ".filter((each) => each.offsetWidth && !each.disabled && each.id)"
                              ".map((each) => each.id)"))
    seen = set()
    for _ in range(200):
        browser.do(press="Tab")
        seen.add(browser.eval("document.activeElement.id"))
        if wanted <= seen | {"language"}:
            break
    assert wanted - seen - {"language"} == set()  # that one is before the console
    before = browser.eval("granary.history.position")
    browser.eval("document.getElementById('back').focus()")
    browser.do(press="Enter")
    assert browser.eval("granary.history.position") == before - 1 and not browser.eval("granary.follow")
    browser.eval("document.getElementById('live').focus()")
    browser.do(press="Space")
    assert browser.eval("granary.follow")


@pytest.mark.parametrize("when, value, line", [
    ("size", "24", "malloc 24"), ("desc", "32", "malloc 24"), ("thread", "1", "malloc 24"),
    ("address", "0x88000007", "free 0x88000007"), ("refused", "", "free 0x88000007"),
])
def test_it_stops_when(browser, address, when, value, line):
    browser.boot(address)
    browser.eval(f"document.getElementById('when').value = '{when}', "
                 f"document.getElementById('value').value = '{value}'")
    if when != "thread":
        browser.ask("malloc 700")  # another one: it does not stop
        assert browser.eval("granary.follow")
    browser.ask(line)
    assert browser.eval("granary.follow") is False
    entry = browser.eval("granary.history.entry(granary.history.position - 1)")
    assert entry["size"] == 24 if "malloc" in line else entry["pointer"] == 0x88000007
    assert browser.eval("document.getElementById('who').textContent").startswith("Stopped: the condition is met. 0x88")
    browser.eval("document.getElementById('when').value = ''")


def test_pointing_at_an_event(browser, address):
    browser.boot(address)
    browser.ask("malloc 24")
    browser.until("document.querySelector('#events button')?.textContent.includes('malloc(24)')")
    result = browser.eval("granary.history.entry(granary.history.length - 1).result")
    browser.eval("document.querySelector('#events button').focus()")
    assert browser.eval("document.getElementById('who').textContent").startswith(
        f"{result:#x}: block 0 of the 32-byte arena")


def test_the_sentence_is_that_of_the_slider(browser, address):
    """What stands at the page's foot changes with the slider: of an event, and of a block that is pointed at."""
    browser.boot(address)
    browser.ask("malloc 24")
    browser.ask("malloc 24")
    place, last = browser.eval("[granary.newestResult(), granary.history.length]")
    browser.ask(f"free {place:#x}")
    foot = "document.getElementById('who').textContent"
    said = "0x88004020: block 1 of the 32-byte arena 0x88004000, kernel_pool frame 4, "
    states = ((last, "live"), (last + 1, "free"), (last - 1, "never handed out"), (last, "live"))
    browser.eval(f"granary.pointEvent({last - 1})")
    for at, state in states:
        assert browser.eval(f"granary.seek({at}), {foot}") == said + state
    browser.eval("document.getElementById('arenas').focus()")
    for _ in range(2):
        browser.do(press="ArrowRight")
    for at, state in states:
        shown = browser.eval(f"granary.seek({at}), {foot}")
        assert shown == said + state + ("; size 24, thread 1" if state == "live" else ""), shown
    browser.eval("granary.live()")


def test_both_languages(browser, address):
    browser.boot(address)
    browser.do(click="#language")
    assert "内核" in browser.eval("document.body.innerText")
    assert browser.eval("document.documentElement.lang") == "zh-Hans"
    assert browser.eval("granary.console().length") > 100
    browser.do(click="#language")
    assert "Block descriptors" in browser.eval("document.body.innerText")


def test_a_link_leads_to_a_picture(browser, address):
    """An event that has not come yet is waited for; the link that the page makes leads to the same."""
    browser.do(goto=address + "?args=events=com2#event=700&size=64&by=thread")
    browser.until("granary.history?.position === 700 && !granary.follow")
    picture = "[granary.size, granary.by, granary.heap.descsText(), document.getElementById('by').value]"
    before = browser.eval(picture)
    assert before[:2] == [64, "thread"] and before[3] == "thread"
    browser.do(click="#link")
    link = browser.eval("location.hash")
    browser.eval("granary.live(), granary.chooseSize(16), location.hash = ''")
    browser.eval(f"location.hash = '{link}'")
    browser.until("granary.history.position === 700")
    assert browser.eval(picture) == before


# ---- what there is to read, and the museum ---------------------------------------------------------

def test_every_text_is_there(browser, address):
    """The book, the museum and the tours; each opens, and its links lead to others of them."""
    browser.boot(address)
    wanted = sorted(f"{group}/{name[:-3]}" for group in ("book", "bugs", "tours")
                    for name in os.listdir(os.path.join(ROOT, "docs", group))
                    if name.endswith(".md") and name != "README.md")
    assert sorted(browser.eval("granary.texts.map((text) => text.id)")) == wanted
    for text in wanted:
        browser.eval(f"granary.read({json.dumps(text)})")
        assert len(browser.eval("document.querySelector('article').innerText")) > 400, text
        assert browser.eval("document.getElementById('commitBug').hidden") == (not text.startswith("bugs/"))
        links = browser.eval("[...document.querySelectorAll('article a')].map((a) => a.getAttribute('href'))")
        assert all(re.match("https?:", link) or link.removeprefix("#read=") in wanted for link in links), links
        assert browser.eval("[...document.querySelectorAll('article img')].every((i) => i.src.startsWith('data:'))")
        browser.until("[...document.querySelectorAll('article img')].every((i) => i.complete && i.naturalWidth > 0)")


def test_each_view_leads_to_its_chapter(browser, address):
    browser.boot(address)
    chapters = browser.eval("[...document.querySelectorAll('section > p a')].map((a) => a.getAttribute('href'))")
    assert len(chapters) == 8
    for at, chapter in enumerate(chapters):
        browser.eval(f"document.querySelectorAll('section > p a')[{at}].click()")
        browser.until(f"'#read=' + granary.open.id === {json.dumps(chapter)}")


PANICS = {26, 27, 28}


def test_every_exhibit(browser, address):
    """The button commits it in the machine, and the kernel and the page agree afterwards."""
    browser.boot(address)
    numbers = browser.eval("granary.texts.filter((text) => text.bug).map((text) => text.bug)")
    assert numbers == list(range(1, 31))
    for number in numbers:
        browser.eval(f"granary.read(granary.texts.find((text) => text.bug === {number}).id)")
        before = browser.eval("granary.console().length")
        browser.do(click="#commitBug")
        ended = "document.getElementById('trouble').textContent"
        browser.until(f"granary.console().slice({before}).endsWith('granary> ') || {ended} !== ''")
        if number in PANICS:
            assert browser.eval(ended).startswith("The kernel panicked: panic:")
            browser.until("granary.console().includes('granary: halt panic')")
            assert browser.eval("granary.seek(0), granary.state().events") == 0  # the page lives on
            if number == 28:  # v86 has no double fault: web/src/processor.js
                assert "double fault: stack overflow: esp is 0xf80" in browser.eval(ended)
                assert "at bug_dive+0x" in browser.eval("granary.console()")
            browser.do(click="#again")
            browser.until("granary.console().endsWith('granary> ')")
            assert browser.eval(ended) == "" and not browser.eval("document.getElementById('again').offsetWidth")
        else:
            assert f"bugs: {number} " in browser.eval("granary.console().slice(-600)"), number
            assert browser.eval(ended) == ""
            browser.eval("document.getElementById('when').value = ''")
            same_as_the_kernel(browser)


def ask_until(browser, condition):
    """A command at a time, each to its end, until the page knows: an event comes with a command."""
    for _ in range(100):
        browser.ask("ps")
        if browser.eval(condition):
            return
    raise AssertionError(condition)


def test_the_heap_of_a_program(browser, address):
    """What the page says of a program's heap is what `descs PID` says; it is gone with the program, and comes back
    with its event."""
    browser.boot(address)
    browser.eval("granary.seek(granary.history.length)")
    none = "No program has a heap at that event."
    assert browser.eval("document.getElementById('programs').textContent") == none
    before = browser.eval("granary.history.position")
    browser.eval("granary.live()")
    browser.ask("run spin sleeping &")
    browser.ask("malloc 24")  # a call of the kernel's heap: a picture
    ask_until(browser, "granary.history.programs.newest?.value[0]?.live === 1")
    program, = browser.eval("granary.history.programs.newest.value")
    assert program["name"] == "spin" and program["frames"] == 1
    lines = browser.ask(f"descs {program['pid']}")
    assert [[int(word) for word in line.split()] for line in lines[1:]] == program["descs"]
    browser.eval("granary.seek(granary.history.length)")
    alive = browser.eval("granary.history.position")
    shown = browser.eval("document.querySelector('#programs caption').textContent")
    assert shown == f"spin (pid {program['pid']}): 1 frames, 1 blocks live"
    browser.ask(f"kill {program['pid']}")
    ask_until(browser, "granary.history.programs.newest.value.length === 0")
    same_as_the_kernel(browser)
    for position, text in ((before, none), (alive, shown), (before, none), ("granary.history.length", none)):
        browser.eval(f"granary.seek({position})")
        assert text in browser.eval("document.getElementById('programs').textContent")


def test_the_sound_twin_is_not_refused(browser, address):
    browser.boot(address)
    browser.eval("granary.read('bugs/01-double-free')")
    browser.do(click="#commitTwin")
    browser.until("granary.console().slice(-400).includes('bugs: 1 double-free') && "
                  "granary.console().endsWith('granary> ')")
    assert "heap:" not in browser.eval("granary.console()") and browser.eval("granary.follow")


# ---- tours -----------------------------------------------------------------------------------------

def at_stop(browser, number):
    browser.until(f"granary.guide.shown === {number} && granary.guide.tour.waits && "
                  f"granary.guide.places.length >= {number}")


@pytest.mark.parametrize("name", [name for name in tourfile.names() if tourfile.read(name).processors == 1])
def test_a_tour_is_walked_to_its_end(browser, address, name):
    """Each claim of the file, in its order, is looked up at its stop, holds, and is marked in the text."""
    tour = tourfile.read(name)
    browser.boot(address)
    browser.eval(f"granary.read('tours/{name}')")
    browser.do(click="#walkTour")
    for number, stop in enumerate(tour.stops, 1):
        at_stop(browser, number)
        said = [f"{let} = {claim}" if let else claim for let, claim in stop.claims]
        found = browser.eval(f"granary.guide.tour.found[{number - 1}]")
        assert [result["claim"] for result in found] == said
        assert [result for result in found if not result["holds"]] == []
        if stop.place != "return":  # where the machine is held
            assert browser.eval("granary.machine.processor.get('eip')") == browser.eval(
                f"granary.layout.entries.get('{stop.place}')")
        assert browser.eval("document.getElementById('tourSaid').textContent") == (
            f"Stop {number} of {len(tour.stops)}: {len(said)} of {len(said)} claims hold.")
        browser.do(click="#stopNext")
    browser.until(f"granary.console().includes('scene: {tour.scene}: done') && "
                  "granary.console().endsWith('granary> ')")
    assert browser.eval("document.getElementById('tourSaid').textContent") == (
        f"The tour ends here: {len(tour.stops)} stops, 0 claims do not hold.")
    marks = browser.eval("[...document.querySelectorAll('article li')].filter((li) => li.querySelector('.holds'))"
                         ".map((li) => li.querySelector('code').textContent)")
    assert marks == [f"{let} = {claim}" if let else claim for stop in tour.stops for let, claim in stop.claims]
    assert browser.trouble() == ""
    same_as_the_kernel(browser)


def test_a_claim_that_does_not_hold_is_marked(browser, address):
    """The heap is changed in the guest's memory while the guest is held."""
    browser.boot(address)
    browser.eval("granary.guide.walk('double-free', 4)")
    at_stop(browser, 4)
    browser.eval("""(() => {
        const { processor } = granary.machine, at = granary.layout.symbols.heap_report_count;
        processor.setWord(at, processor.word(at) + 7);
    })()""")
    browser.do(click="#stopNext")
    at_stop(browser, 5)
    browser.do(click="#stopNext")
    at_stop(browser, 6)
    bad = browser.eval("granary.guide.tour.found[5].filter((result) => !result.holds).map((result) => result.claim)")
    assert bad == ["reports == before + 1"]
    assert browser.eval("document.querySelector('.fails').closest('li').querySelector('code').textContent") == bad[0]
    assert browser.eval("document.getElementById('tourSaid').textContent") == "Stop 6 of 6: 3 of 4 claims hold."


def test_a_link_leads_to_a_stop(browser, address):
    """On from there, back to one with its picture, and by the page's own link again."""
    browser.do(goto=address + "#tour=first-malloc&step=4")
    browser.until("typeof granary === 'object' && granary.guide?.tour?.found.length === 4")
    at_stop(browser, 4)
    picture = "(granary.heap && JSON.stringify([granary.heap.descsText(), granary.heap.mapText()]))"
    browser.do(click="#link")
    assert browser.eval("location.hash") == "#tour=first-malloc&step=4"
    fourth = browser.eval(f"granary.seek(granary.guide.places[3]), {picture}")
    browser.eval("location.hash = '#tour=first-malloc&step=6'")
    at_stop(browser, 6)
    assert browser.eval(f"granary.seek(granary.history.length), {picture}") != fourth
    for _ in range(2):
        browser.do(click="#stopBack")
    assert browser.eval(picture) == fourth and browser.eval("granary.guide.shown") == 4
    assert browser.eval("document.querySelector('article [aria-current]').textContent").startswith("4.")
    browser.eval("location.hash = '#tour=nonesuch&step=1'")
    browser.until("document.getElementById('who').textContent.startsWith('There is no tour “nonesuch”: it is one of "
                  "arena-opens, ')")


def drop(browser, name, data):
    """Drops a file on the page."""
    browser.eval(f"""(() => {{
        const transfer = new DataTransfer();
        transfer.items.add(new File([Uint8Array.from({list(data)})], {json.dumps(name)}));
        document.body.dispatchEvent(new DragEvent("drop", {{ dataTransfer: transfer, bubbles: true }}));
    }})()""")


def test_a_dropped_trace_is_replayed(browser, address, tmp_path):
    """With the hash that QEMU comes to; the page follows every call of it."""
    path = tmp_path / "mine.mtrace"
    tool = [sys.executable, os.path.join(ROOT, "tools", "trace", "trace.py")]
    subprocess.run([*tool, "generate", "replace", "-o", str(path), "--ops", "400", "--live", "60"], check=True,
                   capture_output=True)
    data = path.read_bytes()
    browser.boot(address)
    drop(browser, "mine.mtrace", data)
    browser.until("granary.console().includes('replay: name=mine ') && granary.console().endsWith('granary> ')")
    line = re.search(r"replay: name=mine .* ops=400 failed=0 .*hash=(\w+)", browser.eval("granary.console()"))
    path.write_bytes(data + bytes(-len(data) % 512))
    qemu = subprocess.run([PYTHON, os.path.join(ROOT, "tools", "run.py"), "--image",
                           os.path.join(ROOT, "build", "e2e", "hd.img"), "--args", "batch demo=no replay=mine",
                           "--disk2", str(path)], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True)
    assert f"hash={line[1]}" in qemu.stdout
    assert browser.eval("granary.history.length") > 800  # it is replayed more than once
    browser.eval("granary.seek(granary.history.length)")
    shown = browser.eval("[...document.querySelectorAll('#tables tr')].map((row) => [...row.cells].map((cell) => "
                         "cell.textContent))")
    assert shown == [list(each) for each in re.findall(
        r"table: classes=(\S+) frames_peak=(\d+) footprint=([\d.]+)", qemu.stdout)] and len(shown) == 2
    same_as_the_kernel(browser)


def test_a_long_replay_is_no_hang(browser, address, tmp_path):
    """It runs before there is a timer, for longer than a guest may stand still. Every call is in the history."""
    path = tmp_path / "long.mtrace"
    subprocess.run([sys.executable, os.path.join(ROOT, "tools", "trace", "trace.py"), "generate", "replace", "-o",
                    str(path), "--ops", "8000"], check=True, capture_output=True)
    browser.boot(address)
    drop(browser, "long.mtrace", path.read_bytes())
    browser.until("granary.trouble || granary.console().includes('replay: name=long ') && "
                  "granary.console().endsWith('granary> ')")
    assert browser.trouble() == ""
    assert browser.eval("granary.history.length") > 24000
    assert browser.eval("granary.machine.reader.missing + granary.machine.reader.lost") == 0
    took = browser.eval("Math.max(...[0, 1e9, 5000, 1].map((n) => { const t = performance.now(); "
                        "granary.history.seek(n); return performance.now() - t; }))")
    assert took < 100, took
    same_as_the_kernel(browser)


def test_ones_own_script(browser, address):
    """The one that stands in the page: two of its calls are refused, and all is freed at the end."""
    browser.boot(address)
    before = browser.eval("[granary.history.length, granary.state().live]")
    browser.do(click="#runScript")
    browser.until("document.getElementById('who').textContent === 'The script is done: 6 calls.'")
    entries = browser.eval(f"Array.from({{length: granary.history.length - {before[0]}}}, (_, i) => "
                           f"granary.history.entry(i + {before[0]})).filter((entry) => entry.kind !== null)")
    assert [(entry["kind"], entry["refused"]) for entry in entries] == [
        (0, False), (0, False), (1, False), (1, True), (1, True), (1, False)]
    assert same_as_the_kernel(browser)["live"] == before[1]
    browser.eval("document.getElementById('script').value = 'a = malloc 24\\nhalt'")
    browser.do(click="#runScript")
    assert browser.eval("document.getElementById('who').textContent").startswith("Line 2 is no call: “halt”")


def test_another_table_of_sizes(browser, address):
    browser.boot(address)
    browser.eval("document.getElementById('sizes').value = '16 48 256'")
    browser.do(click="#restart")
    browser.until("granary.console().includes('3 sizes up to 256 bytes') && granary.console().endsWith('granary> ')")
    browser.ask("malloc 40")
    same_as_the_kernel(browser)
    assert browser.eval("granary.heap.descs().map((row) => row.size)") == [16, 48, 256]


def test_the_checked_build_is_a_switch(browser, address):
    """There and back, by the box and by a link; a freed block waits in quarantine for the kernel and the page."""
    browser.boot(address)
    loaded = "performance.getEntriesByType('resource').map((entry) => entry.name.split('/').pop())"
    assert "checked.img" not in browser.eval(loaded)
    browser.do(click="#checked")
    browser.until("granary.layout.checked && granary.console().endsWith('granary> ')")
    assert "build=checked" in browser.eval("location.search")
    for line in ("malloc 24", "malloc 24", "malloc 5000"):
        browser.ask(line)
    pointers = browser.eval("[1, 2, 3].map((n) => granary.history.entry(granary.history.length - n).result)")
    browser.ask(f"free {pointers[0]:#x}")
    browser.ask(f"free {pointers[1]:#x}")
    same_as_the_kernel(browser)
    for pointer, state in zip(pointers, ("in quarantine", "in quarantine", "live")):
        line, = browser.ask(f"who {pointer:#x}")
        said = browser.eval(f"granary.seek(granary.history.length), granary.who({pointer})")
        assert line.split(": ", 1)[1] == said and f", {state}, " in said
    browser.eval("document.getElementById('by').value = granary.by = 'size', granary.chooseSize(64)")
    assert browser.eval(f"granary.ownersOfBlocks().get(granary.heap.blockStart({pointers[2]})).size") == 24
    browser.ask("bugs 9")  # one byte past the end: this build sees it
    assert "heap: overflow" in browser.eval("granary.console()")
    same_as_the_kernel(browser)
    browser.do(goto=address + "?build=checked")
    browser.until("granary.console?.().endsWith('granary> ')")
    assert browser.eval("granary.layout.checked && document.getElementById('checked').checked")
    browser.do(click="#checked")
    browser.until("!granary.layout.checked && granary.console().endsWith('granary> ')")
    same_as_the_kernel(browser)


# ---- the history of a block: the checked build's `who` -----------------------------------------------

# Every address at which the sentence could change: of each block that has a record its first byte, the record's last,
# the last of the canary before it, the pointer, an inner byte, the canary after it, the block's last byte and the next.
# And of each arena what follows its last block; frames that are free, and frames that others hold.
PLACES = """(() => {
    const { newest } = granary.machine, places = new Set(), pool = newest.pool(0), base = newest.heapField("base");
    newest.checked.each((start) => {
        const { bytes } = newest.blockIn(newest.arenaAt(pool, (start - base) >>> 12), start);
        const { p, size } = newest.checked.read(start);
        const within = p >= start && p - start < bytes ? [p - 1, p, p + (size >> 1), p + size - 1, p + size] : [];
        [start, start + newest.checked.bytes - 1, ...within, start + bytes - 1, start + bytes].forEach(
            (each) => places.add(each));
    });
    for (let frame = 0; frame < pool.frames; frame += frame < 200 ? 3 : 97) places.add(base + frame * 4096 + 4095);
    return [...places].filter((each) => each < base + pool.frames * 4096);
})()"""
BATCH = 40  # lines at the prompt in one go


def kernels_who(browser, places):
    """What the prompt's `who` says of each address."""
    said = {}
    for at in range(0, len(places), BATCH):
        before, lines = browser.eval("granary.console().length"), [f"who {each:#x}" for each in places[at:at + BATCH]]
        browser.eval(f"granary.type({json.dumps(''.join(line + chr(13) for line in lines))})")
        browser.until(f"granary.console().slice({before}).split('granary> ').length > {len(lines)}")
        text = ANSI.sub("", browser.eval(f"granary.console().slice({before})"))
        found = re.findall(r"^(0x[0-9a-f]{8}): (.*)\r$", text, re.MULTILINE)
        said |= {int(address, 16): sentence.rstrip() for address, sentence in found}
    assert sorted(said) == sorted(places)
    return said


def pages_who(browser, places, position="granary.history.length"):
    """What the page says of them at an event."""
    said = browser.eval(f"granary.seek({position}), {json.dumps(places)}.map((each) => granary.who(each))")
    browser.eval("granary.live()")
    return dict(zip(places, said))


def last_result(browser):
    return browser.eval("granary.newestResult()")


@pytest.mark.parametrize("args, guarded", [("events=com2", False), ("demo=no guard events=com2", True)])
def test_the_history_of_every_block(browser, address, args, guarded):
    """Wherever one points, the page says what the kernel does, of blocks from before the first event too: after the
    demonstration or without it, small and large ones, with threads that work, sleep and have ended, a program, an
    overflow. With `guard` each block has frames of its own, the last of them not mapped."""
    browser.do(goto=f"{address}?build=checked&args={args}")
    browser.until("granary.console?.().endsWith('granary> ')")
    for line in ("run spin sleeping &", "bugs 9", "bugs 12"):
        browser.ask(line)
    for size, freed in ((24, False), (5000, False), (9000, True), (700, True)):
        browser.ask(f"malloc {size}")
        if freed:
            browser.ask(f"free {last_result(browser):#x}")
    places = browser.eval(PLACES)
    kernel = kernels_who(browser, places)
    page = pages_who(browser, places)
    assert [(hex(at), page[at], kernel[at]) for at in places if page[at] != kernel[at]] == []
    states = ("; live, 24 bytes; live, 5000 bytes; in quarantine, 700 bytes; in quarantine, 9000 bytes; not mapped; "
              "freed by thread main at run_free.0x; for thread spin at ; not handed out; held outside the heap; "
              "held outside the heap: the stack of thread idle")
    for words in (*states.split("; "), "live, 24 bytes .*, not mapped" if guarded else "free, .* bytes from "):
        assert any(re.search(words, sentence) for sentence in kernel.values()), words
    assert len(places) > 150 and browser.eval("granary.machine.regions.missed") == 0


def test_the_history_is_that_of_the_slider(browser, address):
    """Before the call, live, in quarantine; the sentence at the page's foot changes with the slider."""
    browser.do(goto=f"{address}?build=checked")
    browser.until("granary.console?.().endsWith('granary> ')")
    browser.ask("malloc 24")  # its arena is there from now on
    moments = []

    def moment(place):
        moments.append((browser.eval("granary.history.length"), kernels_who(browser, [place])[place]))

    browser.ask("malloc 24")
    place = last_result(browser)
    moment(place)
    browser.ask(f"free {place:#x}")
    moment(place)
    browser.ask("run spin sleeping &")
    program = browser.eval("""(() => {
        const { tid } = granary.machine.threads().find(({ name }) => name === "spin");
        const n = Array.from({ length: granary.history.length }, (_, n) => n).findLast((n) =>
            granary.history.entry(n).tid === tid && granary.history.entry(n).result);
        return granary.history.entry(n).result;
    })()""")
    moment(program)
    pid = re.search(r"^ +(\d+) spin ", "\n".join(browser.ask("ps")).split(" pid ")[1], re.MULTILINE)[1]
    browser.ask(f"kill {pid}")
    ask_until(browser, "!granary.machine.threads().some(({ name }) => name === 'spin')")
    moment(program)
    live, freed, of_spin, of_none = [sentence for _, sentence in moments]
    assert ", live, 24 bytes from " in live and "freed" not in live
    assert ", in quarantine, 24 bytes from " in freed and freed.split(", freed by thread main at run_free+0x")[0] == (
        live.replace("live", "in quarantine"))
    assert " for thread spin at " in of_spin and re.search(r" for thread \d+ at ", of_none)
    for at in (0, 2, 1, 3, 1, 0):
        position, sentence = moments[at]
        where = place if at < 2 else program
        assert pages_who(browser, [where], position)[where] == sentence
    before = pages_who(browser, [place], moments[0][0] - 1)[place]
    assert before.endswith("never handed out")
    browser.eval(f"granary.seek({moments[0][0]}), granary.pointEvent({moments[0][0] - 1})")
    foot = "document.getElementById('who').textContent"
    for at, sentence in ((moments[1][0], freed), (moments[0][0], live), (moments[0][0] - 1, before)):
        assert browser.eval(f"granary.seek({at}), {foot}") == f"{place:#x}: {sentence}"


def test_a_record_that_was_written_over_says_nothing(browser, address):
    """Each word of a block's own record in turn: kernel and page leave the history out, and the frame lights up."""
    browser.do(goto=f"{address}?build=checked")
    browser.until("granary.console?.().endsWith('granary> ')")
    browser.ask("malloc 24")
    place = last_result(browser)
    flip = """(() => {{
        const {{ machine }} = granary, at = {place} - 32 + {word} * 4;
        machine.processor.setWord(at, machine.processor.word(at) ^ 16);
    }})()"""
    for word in range(7):
        browser.eval(flip.format(place=place, word=word))
        said = kernels_who(browser, [place])
        assert pages_who(browser, [place]) == said and said[place].endswith(", live"), word
        assert browser.eval("granary.seek(granary.history.length), granary.history.entry(granary.history.length - 1)"
                            ".kind") is None
        assert browser.eval("granary.pools.cells.filter((cell) => cell.lit && cell.pool === 0).map((cell) => "
                            "cell.frame)") == [(place - 0x88000000) >> 12]
        browser.eval(flip.format(place=place, word=word))
        whole = kernels_who(browser, [place])
        assert pages_who(browser, [place]) == whole and ", live, 24 bytes from " in whole[place], word
    browser.eval(f"""(() => {{  // another record, with the sum that the page expects: the kernel believes it
        const {{ machine }} = granary, {{ checked }} = machine.newest, at = {place} - 32;
        const other = {{ p: {place}, size: 9,
            allocated: granary.layout.names[7][0] + 3, freed: granary.layout.textEnd, allocator: 2, freer: 77 }};
        other.sum = checked.sum([at, ...Object.values(other)]);
        for (const [name, value] of Object.entries(other)) machine.processor.setWord(at + checked.o[name], value);
    }})()""")
    other = kernels_who(browser, [place])
    assert re.search(r", in quarantine, 9 bytes from 0x\w+ for thread idle at \w+\+0x3, freed by thread 77 at 0x\w+$",
                     other[place])
    assert pages_who(browser, [place]) == other


@pytest.mark.parametrize("data, words", [
    (b"no trace", "bad: not a trace: it does not start with MTRACE1."),
    (b"MTRACE1\0" + bytes([9] + 23 * [0]), "bad: cut off: 104 bytes are promised, and there are 32."),
    (b"\xfd7zXZ\0", "bad: packed: unpack it first, with xz -d."),
])
def test_a_bad_file_is_said_to_be_one(browser, address, data, words):
    browser.boot(address)
    before = browser.eval("granary.history.length")
    drop(browser, "bad", data)
    browser.until(f"document.getElementById('who').textContent === {json.dumps(words)}")
    browser.ask("malloc 24")  # the machine lives on
    assert browser.eval("granary.history.length") > before


def test_a_command_line_that_is_too_long(browser, address):
    browser.do(goto=f"{address}?args={'x' * 600}")
    browser.until("document.getElementById('trouble').textContent !== ''")
    assert browser.trouble() == "The machine cannot start: the command line is too long."


@pytest.mark.parametrize("width, height", [(360, 700), (768, 1000), (1280, 900), (3840, 2160)])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_width(browser, address, width, height, scheme, tmp_path_factory):
    """Nothing is wider than the window. The pictures are kept in build/web-shots, to be looked at."""
    if browser.eval("typeof granary") == "undefined":
        browser.boot(address)
    browser.do(emulate={"width": width, "height": height, "scheme": scheme, "motion": "reduce"})
    browser.eval("new Promise((resolve) => setTimeout(resolve, 300))")
    assert browser.eval("document.documentElement.scrollWidth <= innerWidth")
    assert browser.eval("[...document.querySelectorAll('canvas')].every((each) => each.width > 0)")
    folder = os.path.join(ROOT, "build", "web-shots")
    os.makedirs(folder, exist_ok=True)
    browser.do(screenshot=os.path.join(folder, f"{width}-{scheme}.png"))
    browser.do(emulate={"width": 1280, "height": 900})


# ---- what goes wrong -------------------------------------------------------------------------------

def test_a_page_in_the_background_waits(browser, address):
    """The machine stands still meanwhile, and goes on afterwards; one that is held at a stop is held on."""
    hide = ("Object.defineProperty(document, 'hidden', {{ value: {}, configurable: true }}), "
            "document.dispatchEvent(new Event('visibilitychange'))")
    browser.boot(address)
    browser.eval(hide.format("true"))
    browser.until("!granary.machine.emulator.is_running()")
    assert browser.eval("document.getElementById('who').textContent") == (
        "The page is in the background: the machine waits.")
    before = browser.eval("granary.console().length")
    browser.eval("granary.type('descs\\r'), new Promise((resolve) => setTimeout(resolve, 500))")
    assert browser.eval("granary.console().length") == before
    browser.eval("new Promise((resolve) => setTimeout(resolve, 4500))")  # longer than a hang takes to be seen
    browser.eval(hide.format("false"))
    browser.until(f"granary.console().length > {before} + 100 && granary.console().endsWith('granary> ')")
    assert browser.trouble() == ""
    same_as_the_kernel(browser)
    browser.eval("granary.guide.walk('first-malloc', 2)")
    at_stop(browser, 2)
    for state in ("true", "false"):
        browser.eval(hide.format(state))
    browser.until("!granary.machine.emulator.is_running()")
    browser.do(click="#stopNext")
    at_stop(browser, 3)
    assert browser.eval("granary.guide.tour.failed") == 0


@pytest.mark.parametrize("args, words", [
    ("demo=no events=com2 selftest=panic", "The kernel panicked: panic:"),
    ("demo=no events=com2 selftest=hang", "The guest hangs: its timer has stopped."),
    ("demo=no events=com2 batch", "The machine is off."),
])
def test_a_guest_that_ends(browser, address, args, words):
    browser.do(goto=f"{address}?args={args}")
    browser.until("document.getElementById('trouble').textContent !== ''")
    assert browser.trouble().startswith(words)
    assert browser.eval("granary.seek(0), granary.state().events") == 0  # the page lives on


def test_an_emulator_that_fails(browser, address):
    """An error of v86's own code: the page says so, keeps its pictures, and starts another machine."""
    browser.boot(address)
    browser.eval("""setTimeout(() => {
        const error = new Error("unreachable");
        error.stack = "at v86.wasm";
        throw error;
    })""")
    browser.until("document.getElementById('trouble').textContent !== ''")
    assert browser.trouble().startswith("The emulator itself has failed: Uncaught Error: unreachable")
    assert browser.eval("granary.seek(0), granary.state().events") == 0
    browser.do(click="#again")
    browser.until("granary.console().endsWith('granary> ')")
    browser.do(errors=1)
    same_as_the_kernel(browser)


def test_a_map_of_another_build(browser, address):
    path = os.path.join(WEB, "assets", "map.json")
    with open(path, encoding="utf-8") as file:
        good = file.read()
    wrong = json.loads(good)
    wrong["kernel_crc"] ^= 1
    try:
        with open(path, "w", encoding="utf-8") as file:
            json.dump(wrong, file)
        browser.do(goto=address)
        browser.until("document.getElementById('trouble').textContent !== ''")
        assert browser.trouble().startswith("The map is of another build than this kernel")
        assert browser.eval("granary.state().events") == 0
        os.rename(path, path + ".away")
        browser.do(goto=address)
        browser.until("document.getElementById('trouble').textContent !== ''")
        assert browser.trouble().startswith("A part of the page could not be loaded (map.json)")
    finally:
        with open(path, "w", encoding="utf-8") as file:
            file.write(good)
        if os.path.exists(path + ".away"):
            os.remove(path + ".away")


def test_no_webassembly(built, address):
    if not os.path.exists(CHROMIUM):
        pytest.skip(str(cli.missing("chromium")))
    browser = Browser()
    browser.do(init="delete globalThis.WebAssembly")
    browser.do(goto=address)
    assert browser.trouble().startswith("This browser has no WebAssembly")
    browser.end()


def test_one_file(browser, tmp_path):
    """make web ONE=1: the page is one file, which a folder opened offline shows."""
    make("web", "ONE=1", f"WEB_DIR={tmp_path / 'one'}")
    assert os.listdir(tmp_path / "one") == ["index.html"]
    assert os.path.getsize(tmp_path / "one" / "index.html") < 6_000_000
    browser.boot(f"file://{tmp_path}/one/index.html")
    same_as_the_kernel(browser)
    browser.do(click="#checked")
    browser.until("granary.layout.checked && granary.console().endsWith('granary> ')")
    same_as_the_kernel(browser)


def test_the_figures(built):
    if not os.path.exists(CHROMIUM):
        pytest.skip(str(cli.missing("chromium")))
    done = subprocess.run([PYTHON, os.path.join(ROOT, "web", "figures.py"), "--build", os.path.join(ROOT, "build"),
                           "--ops", "500"], capture_output=True, text=True, timeout=200, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    number = re.compile(r"[\d,]*\d(?:\.\d+)?")
    size, first, demo, trace, scrub = [[float(each.replace(",", "")) for each in number.findall(line)]
                                       for line in done.stdout.splitlines()]
    assert size[1] < size[0] < 6_000_000
    assert 0 < first[0] < first[1] < 30
    assert demo[1] > 0 and demo[2] > demo[0]
    assert trace[0] > 1000 and 20 < trace[3] < 200
    assert scrub[1] < 100  # ms


def test_the_page_is_small(built):
    sizes = [os.path.getsize(os.path.join(folder, name)) for folder, _, names in os.walk(WEB) for name in names]
    assert sum(sizes) < 6_000_000


@pytest.mark.parametrize("words, said", [
    (("/nowhere",), "/nowhere has no index.html: run `make web` first"),
    ((), "the following arguments are required: folder"),
])
def test_wrong_use_of_the_server(words, said):
    done = subprocess.run([PYTHON, os.path.join(ROOT, "web", "serve.py"), *words], capture_output=True, text=True,
                          timeout=30, check=False)
    assert done.returncode == 2 and said in done.stderr and done.stderr.count("\n") == 1
