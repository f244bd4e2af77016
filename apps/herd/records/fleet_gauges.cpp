#include "herd/records/fleet_gauges.hpp"

#include "base/text.hpp"
#include "herd/health/history.hpp"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>

#include <sys/resource.h>
#include <unistd.h>

namespace herd::app {

namespace {

using fleet::NodeState;
using fleet::NodeView;
using prometheus::MetricFamily;
using prometheus::MetricType;
using enum fleet::NodeState;

constexpr std::array states{online, suspect, offline, draining, unreachable, unknown};

/// Names are labels of people, and two nodes may have one: then the id tells them apart.
std::vector<std::string> names_of(const fleet::Snapshot& snapshot)
{
    std::map<std::string, int> seen;
    for (const NodeView& view : snapshot.nodes) {
        ++seen[label_value(view.name)];
    }
    std::vector<std::string> names;
    for (const NodeView& view : snapshot.nodes) {
        std::string name = label_value(view.name);
        names.push_back(seen[name] > 1 ? name + " " + view.id.text() : name);
    }
    return names;
}

struct NodeFamilies {
    GaugeFamily up{"herd_node_up", "Whether the node takes requests."};
    GaugeFamily state{"herd_node_state", "1 for the state the node is in."};
    GaugeFamily left{"herd_node_left", "1: it is offline because it said goodbye."};
    GaugeFamily latency{"herd_node_latency_seconds", "Round trip of the last probe."};
    GaugeFamily in_flight{"herd_node_requests_in_flight", "Requests the node works on for this herd."};
    GaugeFamily cpu{"herd_node_cpu_busy_ratio", "Busy share of all cores, 0 to 1."};
    GaugeFamily load1{"herd_node_load1", "Load average of one minute."};
    GaugeFamily memory_total{"herd_node_memory_total_bytes", "Main memory."};
    GaugeFamily memory_available{"herd_node_memory_available_bytes", "Main memory that programs could have."};
    GaugeFamily swap{"herd_node_swap_used_bytes", "Swap in use."};
    GaugeFamily vram_total{"herd_node_vram_total_bytes", "Video memory of all GPUs."};
    GaugeFamily vram_free{"herd_node_vram_free_bytes", "Free video memory of all GPUs."};
    GaugeFamily gpu_busy{"herd_node_gpu_busy_ratio", "Busy share of one GPU, 0 to 1."};
    GaugeFamily gpu_temperature{"herd_node_gpu_temperature_celsius", "Temperature of one GPU."};
    GaugeFamily gpu_power{"herd_node_gpu_power_watts", "Power draw of one GPU."};
    GaugeFamily models{"herd_node_models", "Models on the node's disk."};
    GaugeFamily loaded{"herd_node_models_loaded", "Models in the node's memory."};
    GaugeFamily loaded_bytes{"herd_model_loaded_bytes", "Memory of one loaded model."};
    GaugeFamily loaded_vram{"herd_model_loaded_vram_bytes", "Video memory of one loaded model."};

    void add(const NodeView& view, std::string_view name)
    {
        up.add(view.takes_requests() ? 1 : 0, {{"node", name}});
        for (const NodeState each : states) {
            state.add(view.state == each ? 1 : 0, {{"node", name}, {"state", fleet::to_string(each)}});
        }
        left.add(health::said_goodbye(view) ? 1 : 0, {{"node", name}});
        if (view.latency) {
            latency.add(base::seconds(*view.latency), {{"node", name}});
        }
        in_flight.add(view.in_flight, {{"node", name}});
        if (view.facts) {
            add_host(*view.facts, name);
            add_models(*view.facts, name);
        }
    }

    void add_host(const fleet::NodeFacts& facts, std::string_view name)
    {
        const fleet::HostLoad& host = facts.host;
        if (host.memory_total > 0) { // a plain Ollama tells nothing of its host
            memory_total.add(static_cast<double>(host.memory_total), {{"node", name}});
            memory_available.add(static_cast<double>(host.memory_available), {{"node", name}});
            swap.add(static_cast<double>(host.swap_used), {{"node", name}});
        }
        if (host.cpu_busy) {
            cpu.add(*host.cpu_busy, {{"node", name}});
        }
        if (host.load1) {
            load1.add(*host.load1, {{"node", name}});
        }
        double total = 0;
        double free = 0;
        bool known = !facts.gpus.empty();
        for (std::size_t i = 0; i < facts.gpus.size(); ++i) {
            const fleet::Gpu& gpu = facts.gpus[i];
            const std::string index = std::to_string(i);
            total += static_cast<double>(gpu.vram_total);
            free += static_cast<double>(gpu.vram_free.value_or(0));
            known = known && gpu.vram_free;
            if (gpu.busy) {
                gpu_busy.add(*gpu.busy, {{"node", name}, {"gpu", index}});
            }
            if (gpu.temperature_c) {
                gpu_temperature.add(*gpu.temperature_c, {{"node", name}, {"gpu", index}});
            }
            if (gpu.power_w) {
                gpu_power.add(*gpu.power_w, {{"node", name}, {"gpu", index}});
            }
        }
        if (total > 0) {
            vram_total.add(total, {{"node", name}});
        }
        if (known) {
            vram_free.add(free, {{"node", name}});
        }
    }

    void add_models(const fleet::NodeFacts& facts, std::string_view name)
    {
        models.add(static_cast<double>(facts.models.size()), {{"node", name}});
        loaded.add(static_cast<double>(facts.loaded.size()), {{"node", name}});
        std::map<std::string, std::pair<double, double>> sizes; // one name may be loaded twice
        for (const fleet::LoadedModel& model : facts.loaded) {
            auto& [size, vram] = sizes[label_value(model.name)];
            size += static_cast<double>(model.size);
            vram += static_cast<double>(model.size_vram);
        }
        for (const auto& [model, size] : sizes) {
            loaded_bytes.add(size.first, {{"node", name}, {"model", model}});
            loaded_vram.add(size.second, {{"node", name}, {"model", model}});
        }
    }

    void take(std::vector<MetricFamily>& into)
    {
        for (GaugeFamily* family :
             {&up, &state, &left, &latency, &in_flight, &cpu, &load1, &memory_total, &memory_available, &swap, &vram_total, &vram_free,
              &gpu_busy, &gpu_temperature, &gpu_power, &models, &loaded, &loaded_bytes, &loaded_vram}) {
            if (!family->empty()) {
                into.push_back(family->take());
            }
        }
    }
};

void put(std::vector<MetricFamily>& into, const char* name, const char* help, double value, MetricType type = MetricType::Gauge)
{
    GaugeFamily family{name, help, type};
    family.add(value);
    into.push_back(family.take());
}

void append_store(std::vector<MetricFamily>& into, const MetricsScene& scene)
{
    const store::TraceHealth& store = scene.store;
    const auto number = [](std::uint64_t value) { return static_cast<double>(value); };
    put(into, "herd_records_written_total", "Request records written to the database.", number(store.written), MetricType::Counter);
    put(into, "herd_records_dropped_total", "Request records lost: a full queue, a full disk or a broken file.",
        number(store.dropped + scene.records_dropped), MetricType::Counter);
    GaugeFamily unrecorded{"herd_requests_unrecorded_total",
                           "Requests that the server refused by itself and that left no record, as there were too many.", MetricType::Counter};
    for (const auto& [status, count] : scene.unrecorded) {
        unrecorded.add(number(count), {{"code", std::to_string(status)}});
    }
    if (!unrecorded.empty()) {
        into.push_back(unrecorded.take());
    }
    put(into, "herd_records_queued", "Request records on their way to the database.", number(store.queued));
    put(into, "herd_store_bytes", "Data in the database of request records.", number(store.bytes));
    put(into, "herd_store_up", "Whether request records can be written.", store.working ? 1 : 0);
    put(into, "herd_event_viewers", "Viewers of the event stream.", number(scene.event_viewers));
}

/// The names that every exporter has.
void append_process(std::vector<MetricFamily>& into)
{
    struct ::rusage usage {};
    if (::getrusage(RUSAGE_SELF, &usage) == 0) {
        const auto seconds = [](const ::timeval& t) { return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6; };
        put(into, "process_cpu_seconds_total", "CPU time of this process.", seconds(usage.ru_utime) + seconds(usage.ru_stime),
            MetricType::Counter);
    }
    std::ifstream statm("/proc/self/statm");
    double pages = 0;
    double resident = 0;
    if (statm >> pages >> resident) {
        const auto page = static_cast<double>(::sysconf(_SC_PAGESIZE));
        put(into, "process_virtual_memory_bytes", "Address space of this process.", pages * page);
        put(into, "process_resident_memory_bytes", "Memory of this process.", resident * page);
    }
    std::error_code failed;
    const auto count = std::distance(std::filesystem::directory_iterator("/proc/self/fd", failed), {});
    if (!failed) {
        put(into, "process_open_fds", "Open files and sockets.", static_cast<double>(count));
    }
}

void append_reloads(std::vector<MetricFamily>& families, const fleet::Totals& totals)
{
    GaugeFamily avoided{"herd_reloads_avoided_total",
                        "Requests sent to a node that had the model as wanted while another would have reloaded it.",
                        MetricType::Counter};
    avoided.add(static_cast<double>(totals.reloads_avoided));
    families.push_back(avoided.take());
    GaugeFamily caused{"herd_reloads_caused_total",
                       "Requests sent to a node that had the model in memory with other options, and reloaded it.",
                       MetricType::Counter};
    caused.add(static_cast<double>(totals.reloads_caused));
    families.push_back(caused.take());
}

} // namespace

GaugeFamily::GaugeFamily(std::string name, std::string help, MetricType type)
{
    family_.name = std::move(name);
    family_.help = std::move(help);
    family_.type = type;
}

void GaugeFamily::add(double value, std::initializer_list<Label> labels)
{
    prometheus::ClientMetric metric;
    for (const auto& [name, text] : labels) {
        metric.label.push_back({name, std::string{text}});
    }
    (family_.type == MetricType::Counter ? metric.counter.value : metric.gauge.value) = value;
    family_.metric.push_back(std::move(metric));
}

std::string label_value(std::string_view text)
{
    std::string out{text.substr(0, 128)};
    if (!base::is_utf8(out)) { // also when a character was cut
        std::ranges::replace_if(out, [](char c) { return static_cast<unsigned char>(c) >= 0x80; }, '?');
    }
    std::ranges::replace_if(out, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }, '?');
    return out;
}

void append_gauges(std::vector<MetricFamily>& families, const fleet::Snapshot& snapshot, const MetricsScene& scene,
                   std::size_t nodes_max)
{
    const auto names = names_of(snapshot);
    NodeFamilies nodes;
    GaugeFamily by_state{"herd_nodes", "Nodes by state."};
    for (const NodeState state : states) {
        by_state.add(static_cast<double>(std::ranges::count(snapshot.nodes, state, &NodeView::state)), {{"state", fleet::to_string(state)}});
    }
    families.push_back(by_state.take());
    for (std::size_t i = 0; i < snapshot.nodes.size() && i < nodes_max; ++i) {
        nodes.add(snapshot.nodes[i], names[i]);
    }
    nodes.take(families);
    const auto queued = static_cast<double>(std::max(0, snapshot.totals.queued));
    put(families, "herd_requests_in_flight", "Requests being served, those that wait not counted.",
        std::max(0.0, static_cast<double>(scene.counts.in_flight) - queued));
    append_reloads(families, snapshot.totals);
    GaugeFamily datagrams{"herd_discovery_datagrams_total", "Discovery datagrams by type and what became of them.", MetricType::Counter};
    for (const DatagramCount& one : scene.datagrams) {
        datagrams.add(static_cast<double>(one.count), {{"type", one.type}, {"result", one.result}});
    }
    if (!datagrams.empty()) {
        families.push_back(datagrams.take());
    }
    if (scene.health_score) {
        put(families, "herd_health_score", "100: nothing is wrong; see GET /herd/v1/health.", *scene.health_score);
    }
    append_store(families, scene);
    append_process(families);
    GaugeFamily build{"herd_build_info", "1; the version is in the label."};
    build.add(1, {{"version", scene.version}});
    families.push_back(build.take());
}

} // namespace herd::app
