// Routes, and everything that needs no slot.
#include "box.hpp"

#include "base/text.hpp"
#include "fleet/model_name.hpp"
#include "net/crypto.hpp"

#include <algorithm>
#include <array>
#include <map>

namespace herd::sim {

namespace {

Json capabilities_of(const StoredModel& model)
{
    Json list = Json::array({model.embeds ? "embedding" : "completion"});
    if (model.name.find("coder") != std::string::npos) {
        list.push_back("tools");
    }
    return list;
}

constexpr std::size_t body_limit = std::size_t{1} << 30;

/// What Ollama registers: the methods of each path.
const std::map<std::string, std::string, std::less<>>& routes()
{
    static const std::map<std::string, std::string, std::less<>> table{
        {"/", "HEAD, GET"},          {"/api/version", "HEAD, GET"}, {"/api/tags", "HEAD, GET"},
        {"/api/status", "GET"},      {"/api/ps", "GET"},            {"/api/show", "POST"},
        {"/api/pull", "POST"},       {"/api/push", "POST"},         {"/api/create", "POST"},
        {"/api/delete", "DELETE"},   {"/api/copy", "POST"},         {"/api/generate", "POST"},
        {"/api/chat", "POST"},       {"/api/embed", "POST"},        {"/api/embeddings", "POST"},
        {"/v1/chat/completions", "POST"}, {"/v1/completions", "POST"}, {"/v1/embeddings", "POST"},
        {"/v1/responses", "POST"},   {"/v1/messages", "POST"},      {"/v1/models", "GET"},
        {"/v1/audio/transcriptions", "POST"}, {"/slots", "GET"}};
    return table;
}

/// Ollama's own CORS list, without OLLAMA_ORIGINS.
bool origin_allowed(std::string_view origin, std::string_view host)
{
    for (const std::string_view scheme : {"app://", "file://", "tauri://", "vscode-webview://", "vscode-file://"}) {
        if (origin.starts_with(scheme)) {
            return true;
        }
    }
    for (const std::string_view scheme : {"http://", "https://"}) {
        if (!origin.starts_with(scheme)) {
            continue;
        }
        const std::string_view rest = origin.substr(scheme.size());
        if (rest == host) {
            return true;
        }
        const std::string_view name = rest.substr(0, rest.find(':'));
        return name == "localhost" || name == "127.0.0.1" || name == "0.0.0.0";
    }
    return false;
}

bool host_allowed(std::string_view host)
{
    const auto parts = base::HostPort::parse(host, 80);
    if (!parts) {
        return false;
    }
    const std::string name = base::lower(parts->host);
    if (const auto address = base::IpAddress::parse(name)) {
        return address->is_private() || address->is_unspecified();
    }
    return name == "localhost" || name.ends_with(".localhost") || name.ends_with(".local") || name.ends_with(".internal");
}

} // namespace

Box::Box(net::Loop& loop, Options options)
    : loop_(loop), options_(std::move(options)), store_(options_, loop.wall()), machine_(loop, options_)
{
}

net::Task<void> Box::reply(Exchange& exchange, int status, std::string body, std::string_view type)
{
    http::ResponseHead head;
    head.status = status;
    if (!type.empty()) {
        head.fields.add("Content-Type", type);
    }
    if (!seen_.empty()) {
        seen_.back().status = status;
    }
    (void)co_await exchange.respond(std::move(head), body); // a client that left needs no answer
}

net::Task<void> Box::fail(Exchange& exchange, std::string path, int status, std::string message)
{
    const bool native = path.starts_with("/api/");
    co_await reply(exchange, status, error_body(path, status, message),
                   native ? "application/json; charset=utf-8" : "application/json");
}

bool Box::allowed(Exchange& exchange) const
{
    const auto& fields = exchange.head().fields;
    const auto host = fields.find("Host").value_or("");
    const auto origin = fields.find("Origin");
    return (!options_.on_loopback || host_allowed(host)) && (!origin || origin_allowed(*origin, host));
}

/// A preflight, or a question under a local name while bound to loopback.
bool Box::answers_options(Exchange& exchange) const
{
    const auto& fields = exchange.head().fields;
    const auto host = base::HostPort::parse(fields.find("Host").value_or(""), 80);
    const bool local_name = host && !base::IpAddress::parse(host->host);
    return fields.find("Origin").has_value() || (options_.on_loopback && local_name);
}

net::Task<void> Box::handle(http::ServerExchange& exchange)
{
    const auto& head = exchange.head();
    std::string path{head.path()};
    if (path.starts_with("/sim/")) {
        co_return co_await control(exchange, path);
    }
    const auto header = [&](std::string_view name) { return std::string{head.fields.find(name).value_or("")}; };
    seen_.push_back({head.method, head.target, {}, header("X-Request-Id"), header("Host"), header("Origin"), header("Via"), 0});
    if (seen_.size() > 256) {
        seen_.pop_front();
    }
    if (!allowed(exchange)) {
        co_return co_await reply(exchange, 403, "", "");
    }
    co_await route(exchange, std::move(path));
}

net::Task<void> Box::route(Exchange& exchange, std::string path)
{
    const std::string method = exchange.head().method;
    if (path.starts_with("/api/blobs/")) {
        co_return co_await blob(exchange, path.substr(11));
    }
    if (path.starts_with("/v1/models/") && path.find('/', 11) == std::string::npos) {
        const std::string name = path.substr(11);
        const StoredModel* model = store_.find(name);
        if (model == nullptr) {
            const auto display = fleet::ModelName::parse(name).display;
            co_return co_await fail(exchange, path, 404, "model '" + display + "' not found");
        }
        // Named first: g++ 13 cannot compile a braced list inside a co_await.
        const Json row{{"id", name}, {"object", "model"}, {"created", model->modified.time_since_epoch().count() / 1'000'000}, {"owned_by", "library"}};
        co_return co_await reply(exchange, 200, row.dump(), "application/json");
    }
    const auto known = routes().find(path);
    if (known == routes().end()) {
        const bool slashed = path.size() > 1 && path.ends_with('/');
        const std::string bare = slashed ? path.substr(0, path.size() - 1) : path.substr(path.starts_with("//") ? 1 : 0);
        if (bare != path && routes().contains(bare)) {
            http::ResponseHead head;
            head.status = method == "GET" ? 301 : 307;
            head.fields.add("Location", bare);
            head.fields.add("Content-Type", "text/html; charset=utf-8");
            (void)co_await exchange.respond(std::move(head), "<a href=\"" + bare + "\">Moved Permanently</a>.\n\n");
            co_return;
        }
        co_return co_await reply(exchange, 404, "404 page not found", "text/plain");
    }
    const auto methods = base::split_list(known->second);
    if (method == "OPTIONS" && answers_options(exchange)) {
        http::ResponseHead head;
        head.status = 204;
        if (const auto origin = exchange.head().fields.find("Origin")) {
            head.fields.add("Access-Control-Allow-Methods", "GET,POST,PUT,PATCH,DELETE,HEAD,OPTIONS");
            head.fields.add("Access-Control-Allow-Origin", *origin);
            head.fields.add("Access-Control-Max-Age", "43200");
        }
        head.fields.add("Allow", known->second);
        (void)co_await exchange.respond(std::move(head), "");
        co_return;
    }
    if (std::ranges::find(methods, method) == methods.end()) {
        http::ResponseHead head;
        head.status = 405;
        head.fields.add("Allow", known->second);
        head.fields.add("Content-Type", "text/plain");
        (void)co_await exchange.respond(std::move(head), "405 method not allowed");
        co_return;
    }
    if (path == "/") {
        co_return co_await reply(exchange, 200, "Ollama is running", "text/plain; charset=utf-8");
    }
    if (path == "/api/version") {
        const Json version{{"version", options_.version}};
        co_return co_await reply(exchange, 200, version.dump());
    }
    if (path == "/api/status") {
        co_return co_await reply(exchange, 200, R"({"cloud":{"disabled":true,"source":"env"}})");
    }
    if (path == "/api/tags") {
        co_return co_await reply(exchange, 200, tags());
    }
    if (path == "/api/ps") {
        co_return co_await reply(exchange, 200, ps());
    }
    if (path == "/v1/models") {
        co_return co_await reply(exchange, 200, openai_models(), "application/json");
    }
    if (path == "/slots") {
        co_return co_await slots(exchange);
    }
    co_await with_body(exchange, std::move(path));
}

net::Task<void> Box::with_body(Exchange& exchange, std::string path)
{
    if (path == "/v1/audio/transcriptions") { // it hears nothing, but says so as Ollama does
        co_return co_await fail(exchange, path, 400,
                                "failed to parse multipart form: request Content-Type isn't multipart/form-data");
    }
    auto text = co_await exchange.read_all(body_limit);
    if (!text) {
        co_return;
    }
    auto body = parse_body(*text);
    if (!body) {
        co_return co_await fail(exchange, path, 400, body.error());
    }
    seen_.back().model = model_of(*body);
    if (path == "/api/embed" || path == "/api/embeddings" || path == "/v1/embeddings") {
        co_return co_await embed(exchange, path, std::move(*body));
    }
    if (path == "/api/show") {
        co_return co_await show(exchange, std::move(*body));
    }
    if (path == "/api/pull" || path == "/api/push") {
        co_return co_await pull(exchange, std::move(*body));
    }
    if (path == "/api/create") {
        co_return co_await create(exchange, std::move(*body));
    }
    if (path == "/api/copy") {
        co_return co_await copy(exchange, std::move(*body));
    }
    if (path == "/api/delete") {
        co_return co_await remove(exchange, std::move(*body));
    }
    co_await infer(exchange, std::move(path), std::move(*body));
}

std::string Box::tags() const
{
    Json models = Json::array();
    for (const StoredModel* model : store_.list()) {
        models.push_back({{"name", model->name},
                          {"model", model->name},
                          {"modified_at", go_time(model->modified)},
                          {"size", model->size},
                          {"digest", model->digest},
                          {"details", details_of(*model, true)},
                          {"capabilities", capabilities_of(*model)}});
    }
    return Json{{"models", models}}.dump();
}

std::string Box::ps() const
{
    Json models = Json::array();
    for (const auto& runner : machine_.runners()) {
        const base::Bytes in_vram = std::min(runner->size, options_.vram);
        const bool for_ever = runner->keep_alive < base::Duration::zero();
        const auto expires = for_ever ? loop_.wall() + std::chrono::hours{24LL * 365 * 292} : machine_.wall_of(runner->expires);
        models.push_back({{"name", runner->name},
                          {"model", runner->name},
                          {"size", runner->size},
                          {"digest", runner->model.digest},
                          {"details", details_of(runner->model, false)},
                          {"expires_at", go_time(expires)},
                          {"size_vram", in_vram},
                          {"context_length", runner->context_length}});
    }
    return Json{{"models", models}}.dump();
}

std::string Box::openai_models() const
{
    Json data = Json::array();
    for (const StoredModel* model : store_.list()) {
        data.push_back({{"id", model->name}, {"object", "model"}, {"created", model->modified.time_since_epoch().count() / 1'000'000}, {"owned_by", "library"}});
    }
    return Json{{"object", "list"}, {"data", data.empty() ? Json(nullptr) : data}}.dump() + '\n';
}

net::Task<void> Box::slots(Exchange& exchange)
{
    Json all = Json::array();
    for (const auto& runner : machine_.runners()) {
        for (std::size_t i = 0; i < runner->slots.size(); ++i) {
            all.push_back({{"id", i}, {"n_ctx", runner->context_length}, {"is_processing", runner->slots[i].busy}});
        }
    }
    co_await reply(exchange, 200, all.dump());
}

net::Task<void> Box::show(Exchange& exchange, Json body)
{
    const std::string name = model_of(body);
    if (name.empty()) {
        co_return co_await fail(exchange, "/api/show", 400, "model is required");
    }
    const StoredModel* model = store_.find(name);
    if (model == nullptr) {
        co_return co_await fail(exchange, "/api/show", 404, "model '" + fleet::ModelName::parse(name).display + "' not found");
    }
    const std::string arch = model->family;
    Json info{{"general.architecture", arch},
              {"general.file_type", 15},
              {"general.parameter_count", static_cast<std::int64_t>(static_cast<double>(model->size) / 0.6)},
              {arch + ".block_count", 32},
              {arch + ".context_length", model->embeds ? 512 : 131072},
              {arch + ".embedding_length", model->embeds ? 64 : 4096},
              {arch + ".attention.head_count", 32},
              {arch + ".attention.head_count_kv", 8}};
    Json answer{{"modelfile", "# Modelfile generated by \"ollama show\"\n# To build a new Modelfile based on this, replace FROM with:\n# FROM " + model->name
                     + "\n\nFROM /models/blobs/" + model->blob.substr(0, 6) + '-' + model->blob.substr(7) + "\nTEMPLATE {{ .Prompt }}\n"}};
    if (model->num_ctx != 0) {
        answer["parameters"] = "num_ctx                        " + std::to_string(model->num_ctx);
    }
    answer["template"] = "{{ .Prompt }}";
    if (!model->system.empty()) {
        answer["system"] = model->system;
    }
    answer["details"] = details_of(*model, false);
    answer["model_info"] = info;
    answer["capabilities"] = capabilities_of(*model);
    answer["modified_at"] = go_time(model->modified);
    co_await reply(exchange, 200, answer.dump());
}

net::Task<void> Box::lines(Exchange& exchange, std::vector<Json> all, bool stream, base::Duration spacing,
                           std::optional<StoredModel> made)
{
    const auto job = std::make_shared<Job>(loop_);
    exchange.on_client_gone([job] { job->cancel(); });
    if (stream) {
        http::ResponseHead head;
        head.framing = http::Framing::chunked;
        head.fields.add("Content-Type", "application/x-ndjson");
        exchange.begin(std::move(head));
    }
    for (const Json& line : all) {
        if (!co_await job->until(loop_.now() + spacing)) {
            co_return;
        }
        if (made && &line == &all.back()) {
            store_.put(*made); // before "success" is said, and not when the client left
        }
        if (stream) {
            const std::string text = line.dump() + '\n';
            const std::array<std::string_view, 1> pieces{text};
            if (!co_await exchange.write(pieces)) {
                co_return;
            }
        }
    }
    if (stream) {
        (void)co_await exchange.end();
    } else {
        co_await reply(exchange, all.back().contains("error") ? 500 : 200, all.back().dump(), "application/json");
    }
    exchange.on_client_gone(nullptr);
}

net::Task<void> Box::pull(Exchange& exchange, Json body)
{
    const std::string name = model_of(body);
    const bool push = exchange.head().path() == "/api/push";
    if (name.empty()) {
        co_return co_await fail(exchange, "/api/pull", 400, "model is required");
    }
    const bool stream = field(body, "stream") != false;
    std::vector<Json> all;
    if (push) {
        all.push_back({{"status", "retrieving manifest"}});
        const auto parsed = fleet::ModelName::parse(name);
        if (store_.find(name) != nullptr) {
            all.push_back({{"status", "success"}});
        } else {
            std::string manifest = parsed.key;
            std::ranges::replace(manifest, ':', '/');
            all.push_back({{"status", "couldn't retrieve manifest"}});
            all.push_back({{"error", "open /models/manifests/" + manifest + ": no such file or directory"}});
        }
        co_return co_await lines(exchange, std::move(all), stream, std::chrono::milliseconds{10});
    }
    all.push_back({{"status", "pulling manifest"}});
    if (name.find("missing") != std::string::npos) {
        all.push_back({{"error", "pull model manifest: file does not exist"}});
        co_return co_await lines(exchange, std::move(all), stream, std::chrono::milliseconds{10});
    }
    const StoredModel model = Store::fabricate({name, 0}, loop_.wall());
    for (int tenth = 1; tenth <= 10; ++tenth) {
        all.push_back({{"status", "pulling " + model.blob.substr(7, 12)},
                       {"digest", model.blob},
                       {"total", model.size},
                       {"completed", model.size / 10 * static_cast<base::Bytes>(tenth)}});
    }
    for (const char* status : {"verifying sha256 digest", "writing manifest"}) {
        all.push_back({{"status", status}});
    }
    all.push_back({{"status", "success"}});
    co_await lines(exchange, std::move(all), stream, std::chrono::milliseconds{20}, model);
}

net::Task<void> Box::create(Exchange& exchange, Json body)
{
    const std::string name = model_of(body);
    const bool stream = field(body, "stream") != false;
    const std::string from = text_of(body, "from");
    const Json& files = field(body, "files");
    if (name.empty()) {
        co_return co_await fail(exchange, "/api/create", 400, "model is required");
    }
    if (from.empty() && !files.is_object()) {
        co_return co_await reply(exchange, 400, R"({"error":"neither 'from' or 'files' was specified"})", "application/json");
    }
    StoredModel model = Store::fabricate({name, 0}, loop_.wall());
    std::vector<Json> all;
    if (!from.empty()) {
        const StoredModel* parent = store_.find(from);
        if (parent == nullptr) {
            co_return co_await fail(exchange, "/api/create", 404, "model '" + from + "' not found");
        }
        model.parent = parent->name;
        model.blob = parent->blob;
        model.size = parent->size;
        model.embeds = parent->embeds;
        model.family = parent->family;
        all.push_back({{"status", "using existing layer " + model.blob}});
    } else {
        for (const auto& [file, digest] : files.items()) {
            const std::string id = digest.is_string() ? digest.get<std::string>() : std::string{};
            if (file.starts_with('/')) {
                co_return co_await fail(exchange, "/api/create", 400, "file path must be relative");
            }
            all.push_back({{"status", "parsing GGUF"}});
            const auto blob = store_.blobs.find(id);
            if (blob == store_.blobs.end()) {
                const std::string file_name = id.starts_with("sha256:") ? "sha256-" + id.substr(7) : id;
                all.push_back({{"error", "open /models/blobs/" + file_name + ": no such file or directory"}});
                co_return co_await lines(exchange, std::move(all), stream, std::chrono::milliseconds{1});
            }
            model.blob = id;
            model.size = blob->second;
            all.push_back({{"status", "using existing layer " + id}});
        }
    }
    model.system = text_of(body, "system");
    const Json& parameters = field(body, "parameters");
    if (parameters.is_object() && field(parameters, "num_ctx").is_number()) {
        model.num_ctx = field(parameters, "num_ctx").get<int>();
    }
    model.digest = sha256_hex("made " + model.name + model.blob + model.system + std::to_string(model.num_ctx));
    all.push_back({{"status", "writing manifest"}});
    all.push_back({{"status", "success"}});
    co_await lines(exchange, std::move(all), stream, std::chrono::milliseconds{1}, model);
}

net::Task<void> Box::copy(Exchange& exchange, Json body)
{
    const std::string source = text_of(body, "source");
    const std::string destination = text_of(body, "destination");
    if (!fleet::ModelName::parse(source).valid) {
        co_return co_await fail(exchange, "/api/copy", 400, "source \"" + source + "\" is invalid");
    }
    if (!fleet::ModelName::parse(destination).valid) {
        co_return co_await fail(exchange, "/api/copy", 400, "destination \"" + destination + "\" is invalid");
    }
    const StoredModel* model = store_.find(source);
    if (model == nullptr) {
        co_return co_await fail(exchange, "/api/copy", 404, "model \"" + source + "\" not found");
    }
    StoredModel twin = *model;
    twin.name = fleet::ModelName::parse(destination).display;
    twin.modified = loop_.wall();
    store_.put(std::move(twin));
    co_await reply(exchange, 200, "", "");
}

net::Task<void> Box::remove(Exchange& exchange, Json body)
{
    const std::string name = model_of(body);
    if (name.empty()) {
        co_return co_await fail(exchange, "/api/delete", 400, "model is required");
    }
    if (!store_.remove(name)) {
        co_return co_await fail(exchange, "/api/delete", 404, "model '" + name + "' not found");
    }
    co_await reply(exchange, 200, "", "");
}

net::Task<void> Box::blob(Exchange& exchange, std::string digest)
{
    const std::string method = exchange.head().method;
    std::string id = digest;
    if (id.starts_with("sha256-")) {
        id[6] = ':';
    }
    std::array<std::uint8_t, 32> bytes{};
    if (!id.starts_with("sha256:") || !base::from_hex(std::string_view{id}.substr(7), bytes)) {
        co_return co_await fail(exchange, "/api/blobs", 400, "invalid digest format");
    }
    const bool present = store_.blobs.contains(id);
    if (method == "HEAD") {
        co_return present ? co_await reply(exchange, 200, "", "")
                          : co_await fail(exchange, "/api/blobs", 404, "blob \"" + id + "\" not found");
    }
    if (method != "POST") {
        co_return co_await reply(exchange, 405, "405 method not allowed", "text/plain");
    }
    if (present) {
        co_return co_await reply(exchange, 200, "", ""); // before reading the body, as Ollama does
    }
    net::Sha256 hash;
    base::Bytes size = 0;
    for (;;) {
        const auto pieces = co_await exchange.read_body();
        if (!pieces) {
            co_return;
        }
        if (pieces->empty()) {
            break;
        }
        for (const std::string_view piece : *pieces) {
            hash.update({reinterpret_cast<const std::uint8_t*>(piece.data()), piece.size()}); // NOLINT
            size += piece.size();
        }
    }
    const std::string got = "sha256:" + base::to_hex(hash.finish());
    store_.blobs[got] = size;
    if (got != id) {
        co_return co_await fail(exchange, "/api/blobs", 400, "digest mismatch, expected \"" + id + "\", got \"" + got + '"');
    }
    co_await reply(exchange, 201, "", "");
}

std::string Box::state() const
{
    const Tally& tally = machine_.tally;
    Json requests = Json::array();
    for (const Seen& seen : seen_) {
        requests.push_back({{"method", seen.method}, {"path", seen.path}, {"model", seen.model}, {"request_id", seen.request_id}, {"host", seen.host}, {"origin", seen.origin}, {"via", seen.via}, {"status", seen.status}});
    }
    return Json{{"requests", tally.requests},  {"active", tally.active},       {"active_max", tally.active_max},
                {"waiting", tally.waiting},    {"cancelled", tally.cancelled}, {"loads", tally.loads},
                {"reloads", tally.reloads},    {"evictions", tally.evictions}, {"load_aborts", tally.load_aborts},
                {"scheduling", machine_.scheduling()},
                {"faults", faults_.all().size()}, {"seen", requests}}
        .dump();
}

net::Task<void> Box::control(Exchange& exchange, std::string path)
{
    const std::string method = exchange.head().method;
    if (path == "/sim/state" && method == "GET") {
        const std::string text = state();
        http::ResponseHead head;
        head.fields.add("Content-Type", "application/json; charset=utf-8");
        (void)co_await exchange.respond(std::move(head), text);
        co_return;
    }
    int status = 404;
    std::string answer = R"({"error":"no such control"})";
    if (path == "/sim/faults" && method == "DELETE") {
        faults_.clear();
        status = 200;
        answer = "{}";
    } else if (path == "/sim/faults" && method == "POST") {
        const auto text = co_await exchange.read_all(body_limit);
        const auto added = text ? faults_.add(*text) : base::Result<void>{std::unexpected(text.error())};
        status = added ? 200 : 400;
        answer = added ? "{}" : Json{{"error", added.error().context}}.dump();
    }
    http::ResponseHead head;
    head.status = status;
    head.fields.add("Content-Type", "application/json; charset=utf-8");
    (void)co_await exchange.respond(std::move(head), answer);
}

} // namespace herd::sim
