#include "herd/sync/pull_stream.hpp"

#include "base/text.hpp"

#include <algorithm>
#include <cmath>

#include <nlohmann/json.hpp>

namespace herd::app::sync {

namespace {

using Json = nlohmann::json;

constexpr std::size_t line_bytes_max = 64 * 1024; // Ollama's are some hundred bytes
constexpr std::size_t layers_max = 256;
constexpr std::size_t reason_bytes_max = 300;

constexpr double bytes_max = 1e18; // of a layer, so that the sum of all is a number

double number(const Json& json, const char* name)
{
    const auto found = json.find(name);
    const double value = found != json.end() && found->is_number() ? found->get<double>() : 0;
    return std::isfinite(value) && value > 0 ? std::min(value, bytes_max) : 0;
}

std::string text(const Json& json, const char* name)
{
    const auto found = json.find(name);
    return found != json.end() && found->is_string() ? found->get<std::string>() : std::string{};
}

} // namespace

bool PullStream::feed(std::string_view bytes)
{
    while (!bytes.empty()) {
        const auto end = bytes.find('\n');
        const std::string_view piece = bytes.substr(0, end);
        if (rest_.size() + piece.size() > line_bytes_max) {
            error_ = "the node's answer is no progress of a pull";
            return false;
        }
        rest_ += piece;
        if (end == std::string_view::npos) {
            break;
        }
        line(rest_);
        rest_.clear();
        bytes.remove_prefix(end + 1);
    }
    return true;
}

std::string PullStream::failure()
{
    if (!rest_.empty()) {
        line(rest_);
        rest_.clear();
    }
    return !error_.empty() ? error_ : succeeded_ ? std::string{} : "the pull ended without success";
}

int PullStream::percent() const
{
    double total = 0;
    double completed = 0;
    for (const auto& [digest, layer] : layers_) {
        total += layer.total;
        completed += std::min(layer.completed, layer.total);
    }
    return total > 0 ? static_cast<int>(std::floor(100 * completed / total)) : 0;
}

void PullStream::line(std::string_view text_)
{
    const Json json = Json::parse(text_, nullptr, false);
    if (!json.is_object()) {
        return;
    }
    if (const auto error = json.find("error"); error != json.end() && !error->is_null()) {
        error_ = error->is_string() ? base::cut_text(error->get_ref<const std::string&>(), reason_bytes_max) : "the pull failed";
        return;
    }
    const std::string status = text(json, "status");
    succeeded_ = status.empty() ? succeeded_ : status == "success";
    const std::string digest = text(json, "digest").substr(0, 128);
    const double total = number(json, "total");
    if (!digest.empty() && total > 0 && (layers_.size() < layers_max || layers_.contains(digest))) {
        layers_[digest] = {total, number(json, "completed")};
    }
}

} // namespace herd::app::sync
