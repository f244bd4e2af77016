#include "proxy/cors.hpp"

#include "base/text.hpp"

#include <algorithm>

namespace herd::proxy {
namespace {

constexpr std::string_view methods = "GET,POST,PUT,PATCH,DELETE,HEAD,OPTIONS";
// Ollama's list, then ours.
constexpr std::string_view headers =
    "Authorization,Content-Type,User-Agent,Accept,X-Requested-With,Openai-Beta,X-Stainless-Arch,"
    "X-Stainless-Async,X-Stainless-Custom-Poll-Interval,X-Stainless-Helper-Method,X-Stainless-Lang,"
    "X-Stainless-Os,X-Stainless-Package-Version,X-Stainless-Poll-Helper,X-Stainless-Retry-Count,"
    "X-Stainless-Runtime,X-Stainless-Runtime-Version,X-Stainless-Timeout,"
    "X-Herd-Node,X-Herd-Label,X-Herd-Session,X-Herd-Priority,X-Herd-Tags,X-Herd-Fallback-Models,"
    "X-Herd-Deadline,X-Herd-Allow-Cloud,X-OllamaFlow-Label,X-Request-Id";
constexpr std::string_view exposed = "X-Herd-Request-Id,X-Herd-Node,X-Herd-Model,X-Herd-Retries,X-Herd-Queue-Ms";

std::string_view origin_of(const http::RequestHead& head) { return head.fields.find("Origin").value_or(""); }

} // namespace

CorsPolicy::CorsPolicy(const std::vector<std::string>& extra)
{
    const auto add = [this](std::string_view text) {
        if (text == "*") {
            all_ = true;
            return;
        }
        const auto star = text.find('*');
        const bool wild = star != text.npos;
        patterns_.push_back({base::lower(text.substr(0, star)), wild ? base::lower(text.substr(star + 1)) : "", wild});
    };
    for (const std::string_view host : {"localhost", "127.0.0.1", "0.0.0.0"}) {
        for (const std::string_view scheme : {"http://", "https://"}) {
            const auto origin = std::string(scheme).append(host);
            add(origin);
            add(origin + ":*");
        }
    }
    for (const auto* scheme : {"app://*", "file://*", "tauri://*", "vscode-webview://*", "vscode-file://*"}) {
        add(scheme);
    }
    for (const auto& origin : extra) {
        for (const auto one : base::split_list(origin)) {
            add(one);
        }
    }
}

bool CorsPolicy::allows(std::string_view origin) const
{
    return all_ || std::ranges::any_of(patterns_, [origin](const Pattern& pattern) {
        if (!pattern.wild) {
            return origin == pattern.before;
        }
        return origin.size() >= pattern.before.size() + pattern.after.size() && origin.starts_with(pattern.before)
               && origin.ends_with(pattern.after);
    });
}

CorsPolicy::Verdict CorsPolicy::judge(const http::RequestHead& head) const
{
    const auto origin = origin_of(head);
    if (origin.empty()) {
        return Verdict::none;
    }
    const auto host = head.fields.find("Host").value_or("");
    if ((origin.starts_with("http://") && origin.substr(7) == host)
        || (origin.starts_with("https://") && origin.substr(8) == host)) {
        return Verdict::none;
    }
    if (!allows(origin)) {
        return Verdict::refused;
    }
    return head.method == "OPTIONS" ? Verdict::preflight : Verdict::allowed;
}

void CorsPolicy::mark(const http::RequestHead& head, http::Fields& answer) const
{
    answer.add("Access-Control-Allow-Origin", all_ ? "*" : origin_of(head));
    answer.add("Access-Control-Expose-Headers", exposed);
    if (!all_) {
        answer.add("Vary", "Origin");
    }
}

void CorsPolicy::mark_preflight(const http::RequestHead& head, http::Fields& answer) const
{
    answer.add("Access-Control-Allow-Headers", headers);
    answer.add("Access-Control-Allow-Methods", methods);
    answer.add("Access-Control-Allow-Origin", all_ ? "*" : origin_of(head));
    answer.add("Access-Control-Max-Age", "43200");
    if (!all_) {
        answer.add("Vary", "Origin,Access-Control-Request-Method,Access-Control-Request-Headers");
    }
}

} // namespace herd::proxy
