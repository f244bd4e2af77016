// Everything at once, small enough to check every promise after every step: boxes come, go, flap, move and are
// cut off, packets are lost, doubled and overtaken, clients ask and leave, the herd itself restarts. Then the
// network heals, and all must be well.
#include "support/catch.hpp"

#include "sim/fleet/clients.hpp"

#include <iostream>

using namespace herd;
using namespace herd::fleet;
using namespace std::chrono_literals;
using test::Box;
using test::Clients;
using test::World;

namespace {

class Storm {
public:
    explicit Storm(std::uint64_t seed) : world_(seed, options()), clients_(world_)
    {
        auto& rng = world_.rng();
        world_.loss = std::array{0.0, 0.05, 0.1, 0.3}[rng.between(0, 3)];
        world_.duplicates = rng.unit() * 0.3;
        world_.jitter = 1ms * static_cast<std::int64_t>(rng.between(0, 300));
        clients_.node_errors = rng.unit() * 0.2;
        const auto count = rng.between(1, 12);
        for (std::uint64_t i = 0; i < count; ++i) {
            std::vector<std::string> models;
            for (const auto* model : {"m0", "m1", "m2", "m3"}) {
                if (rng.chance(0.6)) {
                    models.emplace_back(model);
                }
            }
            if (rng.chance(0.2)) {
                world_.add_static("plain" + std::to_string(i), models);
                continue;
            }
            auto& box = world_.add_box("n" + std::to_string(i / 2), models, static_cast<int>(rng.between(1, 4)));
            box.gateway = rng.chance(0.7);
            box.labels = rng.chance(0.5) ? std::vector<std::string>{"eu"} : std::vector<std::string>{};
            world_.start(box);
        }
    }

    void rage(base::Duration duration)
    {
        const auto end = world_.now() + duration;
        while (world_.now() < end) {
            act();
            world_.run_for(1ms * static_cast<std::int64_t>(world_.rng().between(0, 400)));
        }
    }

    /// All boxes run, all cables are in, no packet is lost; every request is given time to end.
    void heal()
    {
        world_.loss = world_.duplicates = clients_.node_errors = 0;
        world_.jitter = {};
        world_.run_for(1s); // whoever is leaving has left
        for (auto* box : world_.boxes()) {
            box->cabled = box->udp = box->ollama = true;
            world_.feed(DrainNode{box->id, false});
            if (box->is_static) {
                continue;
            }
            if (!box->running) {
                world_.restart(*box);
            } else if (box->announced != AnnouncedState::ready) {
                world_.announce_state(*box, AnnouncedState::ready);
            }
        }
        world_.run_for(400s);
    }

    void judge()
    {
        const auto picture = world_.snapshot();
        std::set<base::NodeId> expected;
        for (const auto* box : world_.boxes()) {
            expected.insert(box->id);
            const auto* view = picture->find(box->id);
            INFO(box->name << ": " << (view == nullptr ? "not known" : view->state_reason));
            CHECK((view != nullptr && view->state == NodeState::online));
        }
        for (const auto& view : picture->nodes) {
            CHECK((expected.contains(view.id) || view.state != NodeState::online));
            CHECK(view.in_flight == 0);
        }
        CHECK(picture->totals.in_flight == 0);
        CHECK(picture->totals.queued == 0);
        CHECK(clients_.open() == 0);
        CHECK(clients_.started == clients_.served + clients_.cancelled + clients_.failed() + lost_with_herd_);
    }
    [[nodiscard]] std::size_t steps() const { return world_.steps; }
    [[nodiscard]] const Clients& clients() const { return clients_; }

private:
    static FleetOptions options()
    {
        FleetOptions options;
        options.queue_per_model = 8;
        options.queue_timeout = 60s;
        return options;
    }

    Box& any()
    {
        auto all = world_.boxes();
        return *all[world_.rng().between(0, all.size() - 1)];
    }

    void ask()
    {
        auto& rng = world_.rng();
        auto profile = World::profile_of("m" + std::to_string(rng.between(0, 4)), "c" + std::to_string(rng.between(0, 3)));
        profile.priority = static_cast<Priority>(rng.between(0, 2));
        profile.need = rng.chance(0.8) ? Need::slot : rng.chance(0.5) ? Need::model : Need::any;
        if (profile.need == Need::any) {
            profile.model_key.clear();
        }
        if (rng.chance(0.1)) {
            profile.labels = {rng.chance(0.8) ? "eu" : "nowhere"};
        }
        if (rng.chance(0.1)) {
            profile.node = rng.chance(0.5) ? any().id.text() : any().name;
        }
        if (rng.chance(0.2)) {
            profile.deadline = world_.now() + 1ms * static_cast<std::int64_t>(rng.between(0, 5000));
        }
        clients_.request(profile, 1ms * static_cast<std::int64_t>(rng.between(1, 3000)));
    }

    void act()
    {
        auto& box = any();
        auto& rng = world_.rng();
        const auto dice = rng.between(0, 99);
        if (dice < 55) {
            ask();
        } else if (dice < 60) {
            clients_.lose_patience();
        } else if (dice < 63) {
            box.cabled = !box.cabled;
        } else if (dice < 66) {
            box.udp = !box.udp;
        } else if (dice < 69) {
            box.ollama = !box.ollama;
        } else if (dice < 73 && !box.is_static) {
            box.running ? world_.kill(box) : world_.restart(box);
        } else if (dice < 75 && !box.is_static && box.running) {
            world_.stop(box);
        } else if (dice < 78 && !box.is_static) {
            world_.restart(box);
        } else if (dice < 82 && !box.is_static && box.running) {
            world_.announce_state(box, static_cast<AnnouncedState>(rng.between(0, 6)));
        } else if (dice < 85 && !box.is_static && box.running) {
            box.models = {"m" + std::to_string(rng.between(0, 3))};
            world_.document_changed(box);
        } else if (dice < 87) {
            world_.feed(DrainNode{box.id, rng.chance(0.5)});
        } else if (dice < 89 && !box.is_static) {
            ++moves_;
            box.agent.address = base::IpAddress::v4({10, 7, static_cast<std::uint8_t>(moves_ >> 8U),
                                                     static_cast<std::uint8_t>(moves_)});
        } else if (dice < 90) {
            world_.feed(EarsImpaired{"storm"});
        } else if (dice < 91 && !box.is_static) {
            world_.feed(NodeRemoved{box.id});
        } else if (dice < 92) {
            lost_with_herd_ += clients_.forget_all();
            world_.restart_herd(rng.chance(0.5));
        } else if (dice < 96) {
            forge(box);
        } else if (dice < 98) {
            configure();
        } else {
            reload(box);
        }
    }

    /// Other tiers, and other models that may be served; for those whom it does not name none.
    void configure()
    {
        auto& rng = world_.rng();
        NodesConfigured event;
        for (std::uint64_t i = rng.between(0, 4); i > 0; --i) {
            NodeSettings settings;
            settings.tier = static_cast<int>(rng.between(0, 2));
            if (rng.chance(0.3)) {
                settings.models_allow = {*ModelPattern::parse_served("m" + std::to_string(rng.between(0, 3)))};
            }
            event.settings.emplace_back(any().id.text(), settings);
        }
        world_.feed(event);
    }

    /// What a liar on the LAN, or a confused app, may bring.
    void forge(const Box& box)
    {
        auto& rng = world_.rng();
        NodeSeen seen;
        seen.id = rng.chance(0.5) ? box.id : base::NodeId::random(rng);
        seen.source = {base::IpAddress::v4({10, 66, 6, static_cast<std::uint8_t>(rng.between(1, 3))}), 999};
        seen.boot_id = rng.chance(0.5) ? box.boot_id : rng.next();
        seen.seq = static_cast<std::uint32_t>(rng.next());
        seen.announced = static_cast<AnnouncedState>(rng.between(0, 6));
        seen.interval = 1ms * static_cast<std::int64_t>(rng.between(0, 70'000));
        seen.detect_mult = static_cast<int>(rng.between(0, 255));
        seen.agent_port = seen.api_port = 11436;
        seen.doubt = static_cast<Doubt>(rng.between(1, 4));
        world_.feed(seen);
        world_.feed(NodeLeft{box.id, rng.next(), "forged"});
        world_.feed(ProbeDone{.id = base::NodeId::random(rng), .connected = true});
        world_.feed(LeaseFinished{rng.next(), {}});
        world_.feed(AcquireCancelled{rng.next()});
    }

    void reload(const Box& box)
    {
        LoadedModel loaded;
        loaded.name = "m" + std::to_string(world_.rng().between(0, 4));
        loaded.slots = static_cast<int>(world_.rng().between(0, 6)) - 1;
        world_.feed(LoadedRead{box.id, {loaded}});
    }

    World world_;
    Clients clients_;
    std::size_t lost_with_herd_{0};
    unsigned moves_{0};
};

} // namespace

TEST_CASE("whatever happens every promise holds after every step, and a healed network is whole again")
{
    const auto first = test::seed_or(1000);
    const auto runs = test::number_or("HERD_RUNS", std::getenv("HERD_SEED") != nullptr ? 1 : 60);
    std::size_t steps = 0;
    std::size_t served = 0;
    std::size_t started = 0;
    for (std::uint64_t seed = first; seed < first + runs; ++seed) {
        INFO("replay with HERD_SEED=" << seed);
        Storm storm{seed};
        REQUIRE_NOTHROW(storm.rage(180s));
        REQUIRE_NOTHROW(storm.heal());
        storm.judge();
        steps += storm.steps();
        served += storm.clients().served;
        started += storm.clients().started;
    }
    std::cout << "storm: " << runs << " seeds from " << first << ", " << steps << " steps checked, " << started
              << " requests, " << served << " served\n";
}
