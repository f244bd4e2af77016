"""The dashboard in a real browser, headless, against a fleet of simulated Ollamas: what changes is seen at once, what
is clicked is done, nothing is complained about on the console, and nothing is asked of anybody else."""
import json
import os
import shutil
import subprocess
import threading
import time
from pathlib import Path
from urllib.parse import quote

import pytest

from harness import report, wait_until
from harness.process import _child_setup

HERE = Path(__file__).resolve().parent
MODEL = "llama3.2:3b"
VIEWS = ["", "models", "frontends", "requests", "usage", "health", "explorer", "benchmarks", "settings"]


class Browser:
    """One command at a time; raises what the browser says went wrong."""

    def __init__(self, node, modules, chromium, origin, log):
        self.log = open(log, "wb")
        self.popen = subprocess.Popen([node, HERE / "dashboard" / "browser.mjs", modules, chromium, origin], stdin=subprocess.PIPE,
                                      stdout=subprocess.PIPE, stderr=self.log, text=True, preexec_fn=_child_setup)

    def __getattr__(self, command):
        def call(**arguments):
            self.popen.stdin.write(json.dumps({"command": command, **arguments}) + "\n")
            self.popen.stdin.flush()
            line = self.popen.stdout.readline()
            assert line, "the browser ended: " + Path(self.log.name).read_text(errors="replace")[-2000:]
            answer = json.loads(line)
            assert "error" not in answer, "%s %r: %s" % (command, arguments, answer["error"])
            return answer["value"]
        return call

    def visit(self, path, **shape):
        self.open(**shape)
        self.goto(path=path)
        self.wait(selector=".connection:has-text('live')")
        return self

    def close(self):
        self.popen.stdin.close()
        try:
            self.popen.wait(10)
        except subprocess.TimeoutExpired:
            self.popen.kill()
        self.log.close()


def chromium_path():
    named = os.environ.get("HERD_TEST_CHROMIUM")
    return named or next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)


@pytest.fixture
def start_browser(tmp_path):
    folder = os.environ.get("HERD_TEST_NODE_MODULES")
    if shutil.which("node") is None:
        pytest.skip("no node (JavaScript) on PATH")
    if not folder or not (Path(folder) / "node_modules" / "playwright-core").exists():
        pytest.skip("the npm package playwright-core is not installed (scripts/test does it when npm works)")
    if chromium_path() is None:
        pytest.skip("no Chromium: install it (Debian: apt install chromium) or set HERD_TEST_CHROMIUM")
    started = []

    def start(herd, origin=None):
        if herd.get("/dashboard").status == 404:
            pytest.skip("this build of herd has no dashboard")
        started.append(Browser(shutil.which("node"), folder, chromium_path(), origin or herd.url, tmp_path / "browser.log"))
        return started[-1]
    yield start
    for browser in started:
        browser.close()


@pytest.fixture
def shots():
    """Where pictures go: $HERD_TEST_SHOTS, else beside the results of the run."""
    folder = Path(os.environ.get("HERD_TEST_SHOTS") or HERE.parents[1] / "build" / "dashboard-shots")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def card(name, rest=""):
    return "article.node:has(h3 a:text-is('%s'))%s" % (name, rest)


def test_a_dying_node_changes_its_card_within_a_second(sim_fleet, start_browser):
    herd, nodes, _ = sim_fleet.simulated(2)
    browser = start_browser(herd).visit("/dashboard")
    for name in ("n1", "n2"):
        browser.wait(selector=card(name, " .badge.good"))
    known = {}

    def watch():
        wait_until(lambda: herd.node("n1")["state"] != "online", "herd to notice", 15, every=0.02)
        known["at"] = time.time()
    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    killed = time.time()
    nodes[0].kill()
    seen = browser.wait(selector=card("n1", " .badge:not(.good)"), timeout=15000) / 1000
    watcher.join(15)
    report("dashboard: a killed node's card changed %.2f s after the kill, %.2f s after herd knew" % (seen - killed, max(0, seen - known["at"])))
    assert seen - known["at"] < 1.0
    browser.wait(selector=card("n2", " .badge.good"))
    assert browser.troubles() == []


def test_a_request_appears_while_it_runs_and_when_it_ends(sim_fleet, start_browser):
    herd, _, _ = sim_fleet.simulated(1, MODEL, "--decode", "40")
    browser = start_browser(herd).visit("/dashboard/requests")
    browser.wait(selector=".table-foot:has-text('shown')")
    done = threading.Thread(target=lambda: herd.chat(MODEL, options={"num_predict": 100}, headers=[("X-Herd-Tags", "from-a-test")]), daemon=True)
    done.start()
    running = ".table-rows .table-row:has-text('%s')" % MODEL
    browser.wait(selector=running + ":has(.mark.info)", timeout=4000)
    done.join(30)
    ended = time.time()
    seen = browser.wait(selector=running + ":has-text('200')", timeout=4000) / 1000
    report("dashboard: a request's end was shown %.2f s after its client had it" % max(0, seen - ended))
    assert seen - ended < 1.5
    browser.click(selector=running)  # its page: the parts of its time, and why it ran where it ran
    browser.wait(selector=".timeline li:has-text('writing the answer'), .timeline li:has-text('until the first byte')")
    browser.wait(selector=".decision tr:has-text('chosen')")
    browser.click(selector=".signals summary")  # the names that users of Ollama Herd know
    for name in ("Thermal state", "Memory fit", "Queue depth", "Latency history", "Role affinity", "Availability trend", "Context fit"):
        browser.wait(selector=".signals th:text-is('%s')" % name)
    browser.wait(selector=".signals tbody tr:has-text('n1'):has-text('tokens/s'):has-text('slots free')")
    browser.wait(selector="a.chip:has-text('from-a-test')")
    assert browser.troubles() == []


def test_the_drain_button_drains_and_resumes(sim_fleet, start_browser):
    herd, _, _ = sim_fleet.simulated(2)
    browser = start_browser(herd).visit("/dashboard")
    browser.click(selector=card("n2", " button[aria-label='Drain n2']"))
    browser.wait(selector=card("n2", " .badge.hold"), timeout=2000)
    herd.wait_state("n2", "draining", 2)
    browser.click(selector=card("n2", " button[aria-label='Resume n2']"))
    browser.wait(selector=card("n2", " .badge.good"), timeout=2000)
    herd.wait_state("n2", "online", 2)
    assert browser.troubles() == []


def test_a_node_is_switched_off_and_on_from_its_page(sim_fleet, start_browser):
    herd, _, _ = sim_fleet.simulated(2)
    browser = start_browser(herd).visit("/dashboard")
    browser.click(selector=card("n2", " h3 a"))
    browser.click(selector="button[aria-label='Disable n2']")
    herd.wait_state("n2", "draining", 3)
    assert herd.node("n2")["state_reason"] == "disabled"
    assert herd.get("/herd/v1/nodes/n2/settings").json()["active"] is False
    browser.click(selector="button[aria-label='Enable n2']")
    herd.wait_state("n2", "online", 3)
    browser.wait(selector="button[aria-label='Disable n2']")
    assert browser.troubles() == []


def test_a_nodes_settings_are_changed_from_its_page(sim_fleet, start_browser):
    herd, _, _ = sim_fleet.simulated(2)
    browser = start_browser(herd).visit("/dashboard/nodes/n2")
    opening, area = "button[aria-label='Settings of n2']", "dialog[open] textarea"
    browser.click(selector=opening)
    browser.when(js="document.querySelector('%s').value.includes('weight')" % area)
    text = json.loads(browser.run(js="document.querySelector('%s').value" % area))
    assert "node" not in text and "source" not in text and text["tier"] == 0 and text["models_allow"] == []
    browser.expect(pattern="400")
    browser.fill(selector=area, text=json.dumps({**text, "teir": 2}))
    browser.click(selector="dialog[open] button:text-is('Save')")
    browser.wait(selector="dialog[open] [role=alert]:has-text('tier')")
    browser.fill(selector=area, text=json.dumps({**text, "tier": 2, "labels": ["night"]}))
    browser.click(selector="dialog[open] button:text-is('Save')")
    browser.wait(selector=".facts:has-text('night')")
    settings = herd.get("/herd/v1/nodes/n2/settings").json()
    assert settings["tier"] == 2 and settings["labels"] == ["night"] and settings["source"] == "managed"
    assert {herd.chat(MODEL).header("X-Herd-Node") for _ in range(4)} == {"n1"}
    browser.click(selector=opening)
    browser.click(selector="dialog[open] button:text-is('Forget what was set here')")
    browser.click(selector="dialog[open] button:has-text('as in herd.toml, or nothing')")
    wait_until(lambda: herd.get("/herd/v1/nodes/n2/settings").json()["tier"] == 0, "the settings to be forgotten", 3)
    assert browser.troubles() == []


def test_what_runs_is_ended_from_its_page_and_queues_are_shown(sim_fleet, start_browser):
    herd, _, _ = sim_fleet.simulated(1, MODEL, "--decode", "20")

    def ask():
        try:
            herd.chat(MODEL, options={"num_predict": 4000})
        except OSError:
            pass  # its connection is closed: that is what is tested
    for _ in range(3):
        threading.Thread(target=ask, daemon=True).start()
    wait_until(lambda: herd.status()["requests"]["queued"] == 2, "two to wait")
    browser = start_browser(herd).visit("/dashboard/requests")
    browser.wait(selector="[aria-label='Queues'] .chip:has-text('%s'):has-text('2')" % MODEL)
    one = next(each for each in herd.get("/herd/v1/requests?status=in_flight").json()["requests"] if each["node"])
    browser.goto(path="/dashboard/requests/" + one["id"])
    browser.click(selector="button:has-text('End it')")
    browser.click(selector="button:has-text('Yes, end it')")
    browser.wait(selector=".trouble:has-text('ended by an operator')")
    browser.wait(selector=".timeline")
    assert herd.get("/herd/v1/requests/" + one["id"]).json()["termination"].startswith("P")
    assert browser.troubles() == []


def test_a_node_is_probed_from_its_page(sim_fleet, start_browser):
    herd, _, _ = sim_fleet.simulated(1)
    browser = start_browser(herd).visit("/dashboard/nodes/n1")
    browser.click(selector="button:text-is('Probe')")
    browser.wait(selector="[role=status]:has-text('answered in')")
    assert browser.troubles() == []


def test_ollama_herds_pages_lead_to_ours(sim_fleet, start_browser):
    herd, _, _ = sim_fleet.simulated(1)
    assert herd.chat(MODEL, options={"num_predict": 2}, headers=[("X-Herd-Tags", "from-a-test")]).status == 200
    browser = start_browser(herd).visit("/dashboard/tags")
    browser.wait(selector=".table-rows .table-row:has-text('from-a-test')")
    browser.goto(path="/dashboard/benchmarks")
    browser.wait(selector=".benchmark-form")
    assert browser.troubles() == []


def test_a_benchmark_is_started_followed_and_read(sim_fleet, start_browser):
    herd, _, _ = sim_fleet.simulated(2, MODEL, "--decode", "400", "--num-parallel", "4")
    browser = start_browser(herd).visit("/dashboard/benchmarks")
    browser.wait(selector=".quiet:has-text('None was made yet')")
    browser.fill(selector=".benchmark-form input[type=text]", text="gone:1b")
    browser.expect(pattern="400 (Bad Request)")
    browser.click(selector=".benchmark-form button:text-is('Start')")
    browser.wait(selector=".trouble:has-text(\"no node has 'gone:1b'\")")
    browser.fill(selector=".benchmark-form input[type=text]", text=MODEL)
    browser.click(selector="button:text-is('30 s')")
    browser.click(selector=".benchmark-form button:text-is('Start')")
    browser.wait(selector="section:has-text('A benchmark runs') .quiet:has-text('tokens a second')")
    wait_until(lambda: herd.get("/dashboard/api/benchmarks/progress").json()["requests_completed"] > 3, "some answers", 30)
    browser.click(selector="button:text-is('Cancel')")
    browser.wait(selector=".plain-table tr:has-text('cancelled') a")
    browser.click(selector=".plain-table tr:has-text('cancelled') a")
    browser.wait(selector="section[aria-label='By model'] td:has-text('%s')" % MODEL)
    browser.wait(selector="section[aria-label='By node'] tr:has-text('n2')")
    browser.expect(pattern="404 (Not Found)")  # before what provokes it: the page asks at once
    browser.goto(path="/dashboard/benchmarks/nothing")
    browser.wait(selector=".notice:has-text('There is no such benchmark')")
    assert browser.troubles() == []


def test_the_switch_sends_everything_to_one_node_and_back(sim_fleet, start_browser):
    herd, _, _ = sim_fleet.simulated(2)
    browser = start_browser(herd).visit("/dashboard")
    used = lambda: herd.get("/herd/v1/frontends").json()["frontends"][0]["use"]  # noqa: E731
    browser.wait(selector=".switcher option[value='n2']", state="attached")
    browser.select(selector=".switcher select", value="n2")
    wait_until(lambda: used() == "n2", "the switch to be in force", 3)
    assert {herd.chat(MODEL).header("X-Herd-Node") for _ in range(4)} == {"n2"}
    browser.select(selector=".switcher select", value="")
    wait_until(lambda: used() is None, "the switch to be undone", 3)
    assert browser.troubles() == []


def test_a_waiting_node_is_let_in_by_its_button(sim_fleet, start_browser):
    herd = sim_fleet.herd("--join", "approve")
    sim_fleet.node("n1", sim_fleet.sim(MODEL))
    wait_until(lambda: [node["trust"] for node in herd.nodes()] == ["waiting"], "the node to wait")
    assert herd.chat(MODEL).status == 404
    browser = start_browser(herd).visit("/dashboard")
    browser.wait(selector=card("n1", ":has-text('waits for approval')"))
    browser.click(selector=card("n1", " button[aria-label='Approve n1']"))
    browser.wait(selector=card("n1", " .badge.good"))
    browser.wait(selector=card("n1", " button[aria-label='Drain n1']"))
    herd.wait_online(["n1"]).wait_models([MODEL])
    assert herd.node("n1")["trust"] == "approved" and herd.chat(MODEL).header("X-Herd-Node") == "n1"
    assert browser.troubles() == []


def test_the_switch_is_of_one_frontend_where_there_are_several(sim_fleet, start_browser):
    sims = [sim_fleet.sim(MODEL) for _ in range(2)]
    text = "".join('[[node]]\nname = "b%d"\nurl = "%s"\n' % (i, sim.url) for i, sim in enumerate(sims, 1))
    herd = sim_fleet.herd(discovery=False, config=sim_fleet.config(
        '[[frontend]]\nname = "a"\nhostnames = ["a.lan"]\n[[frontend]]\nname = "b"\nhostnames = ["*"]\n' + text)).wait_online(["b1", "b2"])
    browser = start_browser(herd).visit("/dashboard")
    browser.wait(selector="select[aria-label='Frontend'] option[value='b']", state="attached")
    browser.select(selector="select[aria-label='Frontend']", value="b")
    browser.select(selector="select[aria-label='Node for b']", value="b2")
    used = lambda: {each["id"]: each["use"] for each in herd.get("/herd/v1/frontends").json()["frontends"]}  # noqa: E731
    wait_until(lambda: used() == {"a": None, "b": "b2"}, "the switch of b alone to be in force", 3)
    assert {herd.chat(MODEL).header("X-Herd-Node") for _ in range(4)} == {"b2"}
    browser.select(selector="select[aria-label='Node for b']", value="")
    wait_until(lambda: used() == {"a": None, "b": None}, "the switch to be undone", 3)
    assert browser.troubles() == []


FRONTENDS = """[[frontend]]
name = "team-a"
hostnames = ["team-a.lan", "*.a.lan"]
path_prefix = true
nodes = ["b1", "nowhere"]
allow_embeddings = false
per_minute = 600
[frontend.pinned_completions_ollama.options]
num_ctx = 16384
[[frontend]]
name = "research"
hostnames = ["research.lan"]
[[frontend]]
name = "rest"
hostnames = ["*"]
"""


def frontends(herd):
    return {each["id"]: each for each in herd.get("/herd/v1/frontends").json()["frontends"]}


def test_frontends_are_shown_switched_changed_and_made(sim_fleet, start_browser):
    herd = sim_fleet.static(sim_fleet.sim(MODEL), sim_fleet.sim(MODEL), config=FRONTENDS)
    browser = start_browser(herd).visit("/dashboard/frontends")
    team = "section[aria-label='Frontend team-a']"
    for words in ("team-a.lan", "*.a.lan", "/f/team-a", "600 a minute", "options.num_ctx", "16384"):
        browser.wait(selector=team + ":has-text('%s')" % words)
    browser.wait(selector=team + " .chip:has-text('b1')")
    browser.wait(selector=team + " .chip:has-text('nowhere'):has-text('not known')")
    browser.wait(selector=team + " .allows li.quiet:has-text('embeddings')")
    browser.wait(selector=team + " .allows li:not(.quiet):has-text('completions')")

    browser.select(selector=team + " select[aria-label='Node for team-a']", value="b1")
    browser.wait(selector=team + " .badge:has-text('all to b1')")
    assert frontends(herd)["team-a"]["use"] == "b1"
    browser.select(selector=team + " select[aria-label='Node for team-a']", value="")
    wait_until(lambda: frontends(herd)["team-a"]["use"] is None, "the switch to be undone", 3)

    browser.click(selector=team + " button[aria-label='Switch team-a off']")
    browser.wait(selector=team + " .badge:has-text('off')")
    assert herd.post("/f/team-a/api/chat", {"model": MODEL, "messages": []}).status == 503
    browser.click(selector=team + " button[aria-label='Switch team-a on']")
    browser.wait(selector=team + " .badge:has-text('serves')")

    browser.click(selector=team + " button[aria-label='Change team-a']")
    area = "dialog[open] textarea"
    text = json.loads(browser.run(js="document.querySelector('dialog[open] textarea').value"))
    assert "in_flight" not in text and text["per_minute"] == 600
    browser.fill(selector=area, text=json.dumps({**text, "per_minit": 5}))
    browser.expect(pattern="400")
    browser.click(selector="dialog[open] button:text-is('Save')")
    browser.wait(selector="dialog[open] [role=alert]:has-text('per_minute')")
    browser.fill(selector=area, text=json.dumps({**text, "per_minute": 5}))
    browser.click(selector="dialog[open] button:text-is('Save')")
    browser.wait(selector=team + ":has-text('5 a minute')")
    assert frontends(herd)["team-a"]["per_minute"] == 5 and frontends(herd)["team-a"]["hostnames"] == ["team-a.lan", "*.a.lan"]
    browser.click(selector=team + " button[aria-label='Change team-a']")
    browser.click(selector="dialog[open] button:text-is('Forget what was set here')")
    browser.click(selector="dialog[open] button:has-text('as in herd.toml, or gone')")
    browser.wait(selector=team + ":has-text('600 a minute')")

    browser.click(selector="button:text-is('New frontend')")
    browser.fill(selector=area, text='{"name": "night", "hostnames": ["night.lan"]}')
    browser.click(selector="dialog[open] button:text-is('Save')")
    browser.wait(selector="section[aria-label='Frontend night']:has-text('changed at run time')")
    browser.click(selector="button[aria-label='Change night']")
    browser.click(selector="dialog[open] button:text-is('Forget what was set here')")
    browser.click(selector="dialog[open] button:has-text('as in herd.toml, or gone')")
    browser.wait(selector="section[aria-label='Frontend night']", state="detached")
    assert browser.troubles() == []


def test_the_explorer_sends_to_the_frontend_that_is_chosen(sim_fleet, start_browser):
    herd = sim_fleet.static(sim_fleet.sim(MODEL), sim_fleet.sim(MODEL), config=FRONTENDS.replace(', "nowhere"', ""))
    browser = start_browser(herd).visit("/dashboard/explorer", width=400)
    choice = "select[aria-label='Send to']"
    browser.wait(selector=choice + " option:text-is('rest (this address)')", state="attached")
    browser.wait(selector="select[aria-label='Model'] option:text-is('%s')" % MODEL, state="attached")
    browser.select(selector=choice, value="team-a")
    browser.wait(selector=".where:has-text('/f/team-a/api/chat')")
    browser.click(selector="button:text-is('Where would it run?')")
    browser.wait(selector=".decision:has-text('b1')")
    browser.click(selector="summary:has-text('The body as b1 would get it')")
    browser.wait(selector="details pre:has-text('\"num_ctx\": 16384')")
    browser.click(selector="button:text-is('Send')")
    browser.wait(selector=".facts a:text-is('b1')")
    wait_until(lambda: any(row["frontend"] == "team-a" and row["status"] == 200 for row in herd.get("/herd/v1/requests").json()["requests"]), "its record")
    browser.select(selector=choice, value="research")
    browser.wait(selector=".notice a[href*='//research.lan:']")
    assert browser.run(js="[...document.querySelectorAll('button')].find((each) => each.textContent === 'Send').disabled")
    assert browser.run(js="document.documentElement.scrollWidth <= innerWidth"), "it fits a phone"
    browser.select(selector=choice, value="")
    browser.wait(selector=".notice", state="detached")
    assert browser.troubles() == []


def test_models_are_pinned_and_unpinned_and_seen_to_be(sim_fleet, start_browser):
    herd, _, _ = sim_fleet.simulated(2, MODEL + ",mistral:7b", herd_arguments=["--config", sim_fleet.config('[[pins]]\nmodel = "absent:1b"\n')])
    browser = start_browser(herd).visit("/dashboard/models/" + quote(MODEL))
    panel = "section[aria-label='Pinned models']"
    browser.wait(selector=panel + " tr:has-text('absent:1b'):has-text('no node has it'):has-text('in herd.toml')")
    browser.click(selector="button[aria-label='Pin %s to n2']" % MODEL)
    browser.wait(selector=panel + " tr:has-text('%s'):has-text('n2'):has-text('in memory')" % MODEL)
    browser.wait(selector=".table-row:has-text('%s') .pin" % MODEL)
    assert [pin["node"] for pin in herd.get("/herd/v1/pins").json()["pins"] if pin["model"] == MODEL] == ["n2"]
    browser.goto(path="/dashboard")
    browser.wait(selector=card("n2", " .chip:has-text('%s') .pin" % MODEL))
    assert not browser.run(js="[...document.querySelectorAll('article.node')].some((each) => each.textContent.includes('n1') && each.querySelector('.pin'))")
    browser.goto(path="/dashboard/nodes/n2")
    browser.click(selector="tr:has-text('%s') button[aria-label='Unpin %s from n2']" % (MODEL, MODEL))
    browser.wait(selector="button[aria-label='Pin %s to n2']" % MODEL)
    assert all(pin["model"] != MODEL for pin in herd.get("/herd/v1/pins").json()["pins"])
    assert browser.troubles() == []


def test_a_refusal_is_shown_where_the_button_is(sim_fleet, start_browser):
    herd, _, _ = sim_fleet.simulated(1)
    browser = start_browser(herd).visit("/dashboard")
    browser.expect(pattern="403")
    browser.fulfil(pattern="**/drain", json={"error": "changes are accepted from the machine herd runs on; run this command there"}, status=403)
    browser.click(selector=card("n1", " button[aria-label='Drain n1']"))
    browser.wait(selector=card("n1", " [role=alert]:has-text('changes are accepted from the machine herd runs on')"))
    assert herd.node("n1")["state"] == "online" and browser.troubles() == []


def test_a_node_is_added_and_removed_by_hand(sim_fleet, start_browser):
    sim = sim_fleet.sim(MODEL)
    herd = sim_fleet.herd()
    browser = start_browser(herd).visit("/dashboard")
    browser.wait(selector=".notice:has-text('No node yet.')")
    browser.click(selector="button:has-text('Add node')")
    browser.fill(selector="dialog input[required]", text=sim.url)
    browser.fill(selector="dialog label:has-text('Name') input", text="plain")
    browser.press(keys=["Enter"])
    browser.wait(selector="dialog .said:has-text('plain is online')")
    browser.click(selector="dialog button:has-text('Close')")
    browser.click(selector=card("plain", " h3 a"))
    browser.click(selector="button:text-is('Remove')")
    browser.click(selector="button:has-text('Yes, forget plain')")
    browser.wait(selector=".notice:has-text('No node yet.')")
    assert browser.troubles() == []


def test_a_model_is_pulled_to_a_node_and_deleted_by_typing_its_name(sim_fleet, start_browser):
    herd, _, _ = sim_fleet.simulated(2)
    browser = start_browser(herd).visit("/dashboard/models")
    browser.click(selector=".tools button:has-text('Pull a model')")
    browser.fill(selector="dialog[open] input", text="mistral:7b")
    browser.select(selector="dialog[open] select", value="n2")
    browser.click(selector="dialog[open] button:text-is('Pull')")
    browser.wait(selector="dialog[open] pre:has-text('success')", timeout=20000)
    browser.click(selector="dialog[open] button:text-is('Close')")
    row = ".table-rows .table-row:has-text('mistral:7b')"
    browser.wait(selector=row + ":has-text('n2')")
    assert [holder["node"] for model in herd.get("/herd/v1/models").json()["models"] if model["name"] == "mistral:7b" for holder in model["nodes"]] == ["n2"]
    browser.click(selector=row)
    browser.click(selector="button[aria-label='Delete mistral:7b from n2']")
    assert browser.run(js="document.querySelector('dialog[open] .button.main').disabled")
    browser.fill(selector="dialog[open] input", text="mistral:7b")
    browser.click(selector="dialog[open] button:text-is('Delete')")
    browser.wait(selector=row, state="detached")
    assert browser.troubles() == []


@pytest.mark.parametrize("dialect", ["Ollama", "OpenAI", "Anthropic"])
def test_the_explorer_streams(sim_fleet, start_browser, dialect):
    herd, _, _ = sim_fleet.simulated(1, MODEL, "--decode", "60")
    browser = start_browser(herd).visit("/dashboard/explorer")
    browser.click(selector=".ask [role=radio]:text-is('%s')" % dialect)
    browser.when(js="document.querySelector('textarea').value.includes('%s')" % MODEL)
    browser.run(js="""(() => { window.lengths = new Set(); const see = () => { const text = document.querySelector('.prose')?.textContent ?? '';
        if (text) { window.lengths.add(text.length) } requestAnimationFrame(see) }; see() })()""")
    browser.click(selector="button:text-is('Send')")
    browser.wait(selector="button:text-is('Stop')")
    browser.wait(selector="button:text-is('Send')", timeout=20000)
    grown = browser.run(js="window.lengths.size")
    assert grown > 5, "the text grew in %d steps" % grown
    figures = browser.run(js="Object.fromEntries([...document.querySelectorAll('.answer .fact')].map((f) => [f.querySelector('dt').textContent, f.querySelector('dd').textContent]))")
    assert figures["Status"] == "200" and figures["Node"] == "n1" and figures["First token"].endswith("s") and "tok/s" in figures["Speed"], figures
    browser.click(selector=".answer [role=radio]:text-is('Headers')")
    browser.wait(selector=".ours:has-text('x-herd-request-id')")
    browser.click(selector=".answer [role=radio]:has-text('Raw')")
    browser.wait(selector=".answer pre:has-text('model')")
    browser.wait(selector=".past tr:has-text('n1')")
    assert browser.troubles() == []


def test_the_explorer_says_where_json_breaks_and_explains_and_measures(sim_fleet, start_browser):
    herd, _, _ = sim_fleet.simulated(2, MODEL, "--decode", "400")
    browser = start_browser(herd).visit("/dashboard/explorer")
    browser.when(js="document.querySelector('textarea').value.includes('%s')" % MODEL)
    good = browser.run(js="document.querySelector('textarea').value")
    browser.fill(selector="textarea", text='{\n  "model": oops\n}')
    browser.wait(selector=".editor-foot:has-text('Line 2, column 12')")
    assert browser.run(js="[...document.querySelectorAll('.ask button')].find((b) => b.textContent === 'Send').disabled")
    browser.fill(selector="textarea", text=good)
    browser.click(selector="button:text-is('Where would it run?')")
    browser.wait(selector=".decision tr:has-text('n1')")
    browser.wait(selector=".signals summary")
    browser.click(selector="[role=radio]:text-is('Load test')")
    browser.fill(selector=".load-test input >> nth=0", text="8")
    browser.press(keys=["Tab"])
    browser.click(selector=".load-test button:text-is('Start')")
    browser.wait(selector=".load-test [role=status]:has-text('8 in')", timeout=30000)
    browser.wait(selector=".load-test .fact:has-text('Answered'):has-text('8')")
    browser.wait(selector=".load-test .u-over")
    assert browser.troubles() == []


def test_every_view_is_quiet_and_fits_in_both_themes_and_on_a_phone(sim_fleet, start_browser, shots):
    herd, _, _ = sim_fleet.simulated(3, "llama3.2:3b,qwen3:8b,nomic-embed-text")
    for i in range(12):
        assert herd.chat(("llama3.2:3b", "qwen3:8b")[i % 2], options={"num_predict": 20}).status == 200
    record = herd.get("/herd/v1/requests?limit=1&model=qwen3:8b").json()["requests"][0]["id"]
    browser = start_browser(herd)
    for width, height in ((1440, 900), (400, 860), (2560, 1440)):
        for scheme in ("light", "dark"):
            browser.open(width=width, height=height, scheme=scheme)
            for view in VIEWS + ["nodes/n1", "requests/" + record]:
                browser.goto(path="/dashboard" + ("/" + view if view else ""))
                browser.wait(selector=".connection:has-text('live')")
                browser.when(js="!document.querySelector('.loading')")
                over = browser.run(js="document.documentElement.scrollWidth - innerWidth")
                assert over <= 0, "%s is %d pixels too wide at %d" % (view or "fleet", over, width)
                inside = browser.run(js="Math.max(0, ...[...document.querySelectorAll('.table-box')].map((box) => box.scrollWidth - box.clientWidth))")
                assert inside <= 0, "a table of %s is %d pixels too wide at %d" % (view or "fleet", inside, width)
                name = view.split("/")[0] or "fleet"
                browser.shot(file=str(shots / ("%s-%d-%s.png" % (name if "/" not in view else name + "-one", width, scheme))))
    assert browser.troubles() == []


def test_long_names_fit_on_a_phone(sim_fleet, start_browser, shots):
    """Names of nodes and models that fill a line break or are cut with an ellipsis; nothing grows beyond the screen."""
    long_node = "workstation-in-the-cellar-beside-the-washing-machine-b"
    long_model = "hf.example/some-organisation/a-model-with-a-rather-long-name-instruct:q4_K_M"
    herd = sim_fleet.herd()
    for i in range(2):
        sim = sim_fleet.sim(long_model if i == 0 else MODEL)
        assert herd.post("/herd/v1/nodes", {"url": sim.url, "name": long_node + str(i)}).status == 201
    herd.wait_online([long_node + "0", long_node + "1"])
    for i in range(3):
        assert herd.chat(long_model, options={"num_predict": 5}).status == 200
    record = herd.get("/herd/v1/requests?limit=1&model=" + long_model).json()["requests"][0]["id"]
    browser = start_browser(herd)
    for width, height in ((400, 860), (1000, 700)):
        browser.open(width=width, height=height, scheme="light")
        for view in ("", "models/" + quote(long_model, safe=""), "requests", "requests/" + record, "usage", "explorer", "settings"):
            browser.goto(path="/dashboard" + ("/" + view if view else ""))
            browser.wait(selector=".connection:has-text('live')")
            browser.when(js="!document.querySelector('.loading')")
            over = browser.run(js="document.documentElement.scrollWidth - innerWidth")
            browser.shot(file=str(shots / ("long-%s-%d.png" % (view.split("/")[0] + ("-one" if "/" in view else "") or "fleet", width))))
            assert over <= 0, "%s is %d pixels too wide at %d" % (view or "fleet", over, width)
            widest = browser.run(js="Math.max(0, ...[...document.querySelectorAll('select')].map((each) => each.offsetWidth))")
            assert widest <= min(width, 400), "a select of %s is %d pixels wide" % (view or "fleet", widest)
        browser.goto(path="/dashboard/requests/" + record)
        browser.wait(selector=".decision tbody tr")
        if width == 400:  # the first figures are in sight without scrolling
            seen = browser.run(js="(() => { const cell = document.querySelector('.decision td.right'), box = cell.closest('.scroll-x').getBoundingClientRect();"
                                  " return box.right - cell.getBoundingClientRect().right })()")
            assert seen >= 0, "the total is %d pixels out of sight" % -seen
        browser.goto(path="/dashboard/models/" + quote(long_model, safe=""))
        browser.wait(selector=".fits li")
        overlap = browser.run(js="Math.max(...[...document.querySelectorAll('.fits li')].map((li) => "
                                 "li.querySelector('b').getBoundingClientRect().right - li.querySelector('.quiet').getBoundingClientRect().left))")
        assert overlap <= 0, "a name lies %d pixels over what is said of it" % overlap
    assert browser.troubles() == []


def test_a_card_and_the_tools_above_it_keep_to_themselves(sim_fleet, start_browser, shots):
    """With the labels that people give their nodes, and a version of Ollama that somebody built, a card's button stays in its card;
    above the cards no word lies under a control."""
    labels = [["gpu-rtx4090", "living-room", "fast-disk", "eu"], ["a-label-of-one-very-long-word-that-nobody-breaks-anywhere"], ["eu"]]
    herd = sim_fleet.herd()
    for i, each in enumerate(labels, 1):
        version = "0.12.6-rc1-17-g0123abc-dirty-with-rocm-6.4.1" if i == 3 else "0.33.0"
        sim_fleet.node("n%d" % i, sim_fleet.sim(MODEL, "--version-string", version), *[word for label in each for word in ("--label", label)])
    herd.wait_online(["n1", "n2", "n3"])
    browser = start_browser(herd)
    for width, height in ((400, 860), (700, 900), (860, 900), (1000, 800), (1400, 900)):
        for scheme in ("light", "dark"):
            browser.open(width=width, height=height, scheme=scheme)
            browser.goto(path="/dashboard")
            for name in ("n1", "n2", "n3"):
                browser.wait(selector=card(name, " button[aria-label='Drain %s']" % name))
            browser.shot(file=str(shots / ("cards-%d-%s.png" % (width, scheme))), full=True)
            outside = browser.run(js="""[...document.querySelectorAll('article.node')].flatMap((card) => { const frame = card.getBoundingClientRect()
                return [...card.querySelectorAll('footer > *, footer button')].map((each) => [each.textContent, Math.round(Math.max(frame.left + 8 - each.getBoundingClientRect().left, each.getBoundingClientRect().right + 8 - frame.right))])
                    .filter(([, by]) => by > 0) })""")
            assert outside == [], "at %d these leave their card: %s" % (width, outside)
            # What a word takes, not the box that was left for it.
            over = browser.run(js="""(() => { const boxes = [...document.querySelectorAll('.tools > *')].map((each) => { const range = document.createRange(); range.selectNodeContents(each)
                const own = each.matches('.quiet') ? range.getBoundingClientRect() : each.getBoundingClientRect(); return [each.textContent || each.tagName, own] })
                return boxes.flatMap(([a, one], i) => boxes.slice(i + 1).filter(([, two]) => one.left < two.right - 1 && two.left < one.right - 1 && one.top < two.bottom - 1 && two.top < one.bottom - 1).map(([b]) => [a, b])) })()""")
            assert over == [], "at %d these lie over each other: %s" % (width, over)
    assert browser.troubles() == []


def test_an_unknown_request_says_so_and_is_not_asked_for_again(sim_fleet, start_browser):
    herd, _, _ = sim_fleet.simulated(1)
    browser = start_browser(herd)
    browser.expect(pattern="404")  # before what provokes it
    browser.visit("/dashboard/requests/nobody123")
    browser.wait(selector=".notice:has-text('No request nobody123 is known.')")
    browser.run(js="window.asked = 0; const before = window.fetch; window.fetch = (...all) => { window.asked += String(all[0]).includes('nobody123'); return before(...all) }")
    browser.click(selector="button:text-is('Look again')")
    browser.when(js="window.asked === 1")
    browser.run(js="new Promise((done) => setTimeout(done, 2500))")  # it used to ask each second
    assert browser.run(js="window.asked") == 1


def test_where_would_it_run_heeds_the_headers(sim_fleet, start_browser):
    herd, _, _ = sim_fleet.simulated(2, MODEL)
    browser = start_browser(herd).visit("/dashboard/explorer")
    browser.when(js="document.querySelector('textarea').value.includes('%s')" % MODEL)
    browser.click(selector="summary:has-text('Headers')")
    for node, other in (("n1", "n2"), ("n2", "n1")):
        browser.select(selector=".header-fields select >> nth=0", value=node)
        browser.click(selector="button:text-is('Where would it run?')")
        browser.wait(selector=".decision tr:has-text('%s'):has-text('chosen')" % node)
        browser.wait(selector=".decision tr.out:has-text('%s'):has-text('another node was asked for')" % other)
    assert browser.troubles() == []


def test_columns_and_choices_are_reached_by_keyboard(sim_fleet, start_browser):
    herd, _, _ = sim_fleet.simulated(2, "llama3.2:3b,qwen3:8b")
    browser = start_browser(herd).visit("/dashboard/models")
    browser.wait(selector=".table-rows .table-row")
    browser.run(js="document.querySelector('.table-box').focus()")
    browser.press(keys=["Tab", "Enter"])
    browser.wait(selector="[role=columnheader][aria-sort]:has-text('Model')")
    browser.goto(path="/dashboard/usage")
    browser.wait(selector="[role=radiogroup][aria-label='By']")
    browser.run(js="document.querySelector('[aria-label=By] [aria-checked=true]').focus()")
    browser.press(keys=["ArrowRight"])
    browser.when(js="document.activeElement.textContent === 'Node' && document.activeElement.getAttribute('aria-checked') === 'true'")
    browser.press(keys=["ArrowLeft", "ArrowLeft"])
    browser.when(js="document.activeElement.textContent === 'Client' && document.activeElement.getAttribute('aria-checked') === 'true'")
    assert browser.run(js="document.querySelectorAll('[aria-label=By] [tabindex=\"0\"]').length") == 1
    assert browser.troubles() == []


def test_the_explorer_copies_and_remembers(sim_fleet, start_browser):
    """What it copies for a shell works there; what was sent is in this browser's history, also after a reload."""
    herd, _, _ = sim_fleet.simulated(1, MODEL)
    browser = start_browser(herd).visit("/dashboard/explorer")
    browser.when(js="document.querySelector('textarea').value.includes('%s')" % MODEL)
    browser.run(js="navigator.clipboard.writeText = (text) => { window.copied = text; return Promise.resolve() }")
    copied = {}
    for language in ("curl", "Python", "JavaScript"):
        browser.run(js="window.copied = ''")
        browser.click(selector=".copy button:text-is('%s')" % language)
        browser.when(js="window.copied !== ''")
        copied[language] = browser.run(js="window.copied")
        assert herd.url in copied[language] and MODEL in copied[language], copied[language]
    done = subprocess.run(["sh", "-c", copied["curl"]], capture_output=True, text=True, timeout=20)
    assert '"done":true' in done.stdout, (copied["curl"], done)
    sent = browser.run(js="document.querySelector('textarea').value")
    browser.click(selector="button:text-is('Send')")
    browser.wait(selector="button:text-is('Again')", timeout=20000)
    browser.goto(path="/dashboard/explorer")
    browser.fill(selector="textarea", text="{}")
    browser.click(selector="button:text-is('Again')")
    browser.when(js="document.querySelector('textarea').value !== '{}'")
    assert browser.run(js="document.querySelector('textarea').value") == sent
    assert browser.troubles() == []


def test_keys_lead_everywhere(sim_fleet, start_browser):
    herd, _, _ = sim_fleet.simulated(1)
    browser = start_browser(herd).visit("/dashboard")
    for key, path in (("m", "/models"), ("r", "/requests"), ("u", "/usage"), ("h", "/health"), ("e", "/explorer"), ("s", "/settings"), ("f", "")):
        browser.press(keys=["g", key])
        browser.when(js="location.pathname === '/dashboard%s'" % path)
    browser.press(keys=["/"])
    browser.when(js="document.activeElement.type === 'search'")
    browser.press(keys=["Escape", "?"])
    browser.wait(selector="dialog[open]:has-text('Keys')")
    browser.press(keys=["Escape", "t"])
    browser.when(js="document.documentElement.dataset.theme === 'light' && localStorage['herd.theme'] === '\"light\"'")
    browser.press(keys=["t"])
    browser.when(js="document.documentElement.dataset.theme === 'dark'")
    assert browser.troubles() == []


def test_thousands_of_rows_are_no_burden(sim_fleet, start_browser):
    herd, _, _ = sim_fleet.simulated(1)
    browser = start_browser(herd)
    browser.open()
    rows = [{"id": "r%05d" % i, "at": "2026-01-01T00:%02d:%02d.000Z" % (59 - i // 100 % 60, 59 - i % 60), "status": 200, "model": "m%d" % (i % 9), "node": "n1",
             "termination": "--", "total_ms": i, "ttft_ms": 5, "tags": []} for i in range(6000)]
    browser.fulfil(pattern="**/herd/v1/requests?limit=200*", json={"requests": rows})
    browser.goto(path="/dashboard/requests")
    browser.wait(selector=".table-foot:has-text('6000')")
    drawn = browser.run(js="document.querySelectorAll('.table-rows .table-row').length")
    assert drawn < 80, "%d rows are in the document" % drawn
    slowest = browser.run(js="""(async () => { const box = document.querySelector('.table-box'); let worst = 0
        for (let i = 0; i < 40; ++i) { const at = performance.now(); box.scrollTop = i * 5000; await new Promise(requestAnimationFrame); await new Promise(requestAnimationFrame); worst = Math.max(worst, performance.now() - at) }
        return Math.round(worst) })()""")
    report("dashboard: the slowest of 40 jumps through 6000 rows took %d ms" % slowest)
    browser.run(js="document.querySelector('.table-box').focus()")
    browser.press(keys=["End"])
    browser.wait(selector=".table-row.chosen[aria-rowindex='6000']")
    browser.press(keys=["Home", "ArrowDown", "Enter"])
    browser.when(js="location.pathname.startsWith('/dashboard/requests/r')")


def test_a_lost_herd_is_said_and_found_again(sim_fleet, start_browser):
    herd, _, _ = sim_fleet.simulated(1)
    browser = start_browser(herd).visit("/dashboard")
    browser.wait(selector=card("n1"))
    browser.expect(pattern="ERR_CONNECTION")
    browser.expect(pattern="ERR_INCOMPLETE_CHUNKED")
    browser.expect(pattern="ERR_EMPTY_RESPONSE")
    address = herd.url.split("//")[1]
    herd.kill()
    browser.wait(selector=".notice[role=alert]:has-text('No connection to herd')", timeout=3000)
    browser.wait(selector=card("n1"))  # what was known is still there
    again = sim_fleet.herd(listen=address)
    browser.wait(selector=".connection:has-text('live')", timeout=15000)
    browser.wait(selector=".notice[role=alert]", state="detached")
    assert again.status()["nodes"]["total"] >= 0 and browser.troubles() == []


def test_the_types_agree(tmp_path):
    """The bundler does not look at types; this does, with the packages that the build fetched."""
    compiler = Path(os.environ.get("HERD_TEST_NODE_MODULES") or "/nowhere") / "node_modules" / "typescript" / "bin" / "tsc"
    packages = Path(os.environ.get("HERD_BIN_DIR") or "/nowhere").parent / "apps" / "herd" / "dashboard" / "web" / "node_modules"
    if not compiler.exists() or not (packages / "preact").exists():
        pytest.skip("typescript, or what the dashboard is built with, is not installed (scripts/test does it when npm works)")
    web = HERE.parents[1] / "apps" / "herd" / "dashboard" / "web"
    config = {"extends": str(web / "tsconfig.json"), "include": [str(web / "src")],
              "compilerOptions": {"paths": {"preact": [str(packages / "preact")], "preact/*": [str(packages / "preact" / "*")], "uplot": [str(packages / "uplot")],
                                            "uplot/*": [str(packages / "uplot" / "*")]}}}
    (tmp_path / "tsconfig.json").write_text(json.dumps(config))
    done = subprocess.run(["node", compiler, "-p", tmp_path / "tsconfig.json"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout[-3000:]


def test_scripts_and_pages_are_kept_by_the_browser_and_nothing_else_is_loaded(sim_fleet):
    herd = sim_fleet.herd()
    page = herd.get("/", headers=[("Accept", "text/html")])
    if page.header("content-type") != "text/html; charset=utf-8":
        pytest.skip("this build of herd has no dashboard")
    assert herd.get("/").body == b"Ollama is running"
    script = page.body.decode().split('<script src="')[1].split('"')[0]
    answer = herd.get(script, headers=[("Accept-Encoding", "gzip")])
    assert answer.header("content-encoding") == "gzip" and "immutable" in answer.header("cache-control")
    assert len(answer.body) < 100_000
    assert herd.get(script, headers=[("If-None-Match", answer.header("etag")), ("Accept-Encoding", "gzip")]).status == 304
    assert "default-src 'none'" in page.header("content-security-policy")


def test_logging_in(start_browser, sim_fleet):
    """With keys on a browser gets a form, a wrong key a sentence, a good one the fleet; logging out closes it again."""
    sim = sim_fleet.sim(MODEL)
    herd = sim_fleet.herd(discovery=False, config=sim_fleet.config('[access]\nrequire_key = true\n[[node]]\nname = "b1"\nurl = "%s"\n' % sim.url))
    herd.add_key("root", scope="admin")
    herd.wait_online(["b1"])
    browser = start_browser(herd)
    browser.expect(pattern="401")
    browser.open()
    browser.goto(path="/")
    browser.wait(selector="input[name=key]")
    browser.fill(selector="input[name=key]", text="herd_wrong")
    browser.click(selector="button")
    browser.wait(selector="[role=alert]:has-text('not known')")
    browser.fill(selector="input[name=key]", text=herd.key)
    browser.click(selector="button")
    browser.wait(selector=".connection:has-text('live')")
    browser.wait(selector="article.node:has-text('b1')")
    assert browser.run(js="document.cookie") == "", "a script cannot read the session"
    assert herd.key not in browser.run(js="JSON.stringify(localStorage) + document.documentElement.outerHTML")
    # What the page changes is accepted, and its explorer may ask models, by the session alone.
    assert browser.run(js="fetch('/herd/v1/nodes/b1/drain', {method: 'POST'}).then(answer => answer.status)") == 200
    assert browser.run(js="fetch('/herd/v1/nodes/b1/resume', {method: 'POST'}).then(answer => answer.status)") == 200
    assert browser.run(js="fetch('/api/show', {method: 'POST', body: JSON.stringify({model: '%s'})}).then(answer => answer.status)" % MODEL) == 200
    browser.goto(path="/dashboard/settings")
    browser.wait(selector="text=Logged in")
    browser.click(selector="button:has-text('Log out')")
    browser.wait(selector="input[name=key]")
    browser.goto(path="/dashboard")
    browser.wait(selector="input[name=key]")
    assert browser.troubles() == []


def test_logging_in_over_tls(start_browser, sim_fleet):
    """Over TLS the session's cookie is one that never travels in clear text; a certificate of herd's own making will do."""
    sim = sim_fleet.sim(MODEL)
    herd = sim_fleet.herd("--tls-self-signed", discovery=False,
                          config=sim_fleet.config('[access]\nrequire_key = true\n[[node]]\nname = "b1"\nurl = "%s"\n' % sim.url))
    herd.add_key("root", scope="admin")
    herd.wait_online(["b1"])
    browser = start_browser(herd, "https" + herd.url[4:])
    browser.expect(pattern="401")
    browser.open(strange=True)
    browser.goto(path="/dashboard")
    browser.fill(selector="input[name=key]", text=herd.key)
    browser.click(selector="button")
    browser.wait(selector=".connection:has-text('live')")
    browser.wait(selector="article.node:has-text('b1')")
    cookie, = browser.cookies()
    assert (cookie["secure"], cookie["httpOnly"], cookie["sameSite"], cookie["path"]) == (True, True, "Strict", "/"), cookie
    assert herd.key not in cookie["value"] and browser.run(js="document.cookie") == ""
    assert 0 < cookie["expires"] - time.time() <= 12 * 3600 + 60
    assert browser.run(js="fetch('/herd/v1/nodes/b1/drain', {method: 'POST'}).then(answer => answer.status)") == 200
    browser.goto(path="/dashboard/settings")
    browser.click(selector="button:has-text('Log out')")
    browser.wait(selector="input[name=key]")
    assert browser.cookies() == [] and browser.troubles() == []
