"""[models] preload_popular: what is much used is in memory before it is asked for, and nothing is put out for it."""
from harness import wait_until

ON = "[models]\npreload_popular = true\n"
NODES = "used:1b=200MB,rare:1b=200MB,pinned:1b=200MB"


def loaded(herd, node="n1"):
    return {each["name"] for each in herd.node(node)["loaded"]}


def use(sim_fleet, config=None):
    """A herd that serves five requests for one model and one for another, and ends."""
    sim = sim_fleet.sim(NODES)
    herd = sim_fleet.herd(config=config)
    agent = sim_fleet.node("n1", sim)
    herd.wait_online(["n1"]).wait_models(["used:1b"])
    for model in ["used:1b"] * 5 + ["rare:1b"]:
        assert herd.chat(model).status == 200
    for process in (herd, agent, sim):
        process.stop()


def test_a_model_much_used_is_loaded_when_its_node_appears(sim_fleet):
    use(sim_fleet)
    sim = sim_fleet.sim(NODES)
    herd = sim_fleet.herd(config=sim_fleet.config(ON))
    sim_fleet.node("n1", sim)
    herd.wait_online(["n1"])
    wait_until(lambda: loaded(herd) == {"used:1b"}, "the popular model to be in memory", 20)
    assert "pins preload model=used:1b node=n1" in herd.output()
    assert herd.chat("used:1b").status == 200
    assert sim.state()["loads"] == 1


def test_pins_go_first_and_a_node_that_may_keep_one_keeps_its_pin(sim_fleet):
    use(sim_fleet)
    sim = sim_fleet.sim(NODES)
    herd = sim_fleet.herd(config=sim_fleet.config(ON + '[[pins]]\nmodel = "pinned:1b"\n'))
    sim_fleet.node("n1", sim)
    herd.wait_online(["n1"])
    wait_until(lambda: loaded(herd) == {"used:1b", "pinned:1b"}, "both to be in memory", 20)
    lines = [line for line in herd.output().splitlines() if " pins " in line]
    assert "pinned:1b" in lines[0] and "preload" in lines[1] and "used:1b" in lines[1], lines
    assert sim.state()["evictions"] == 0


def test_it_is_off_by_default_and_follows_a_reload(sim_fleet):
    use(sim_fleet)
    sim = sim_fleet.sim(NODES)
    path = sim_fleet.config("")
    herd = sim_fleet.herd(config=path)
    sim_fleet.node("n1", sim)
    herd.wait_online(["n1"])
    assert herd.chat("rare:1b").status == 200
    assert sim.state()["loads"] == 1 and "preload" not in herd.output()
    path.write_text(ON)
    assert herd.post("/herd/v1/reload").status == 200
    wait_until(lambda: loaded(herd) == {"rare:1b", "used:1b"}, "the popular model to be in memory", 20)
