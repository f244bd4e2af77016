#include "herd-node/media/audio_form.hpp"

#include "base/text.hpp"

#include <algorithm>

namespace herd::node {

namespace {

constexpr std::size_t head_bytes_max = 4096;
constexpr std::size_t field_bytes_max = 1024;
constexpr std::size_t boundary_bytes_max = 70;
constexpr std::size_t extension_bytes_max = 8;
constexpr int parts_max = 64;

bool is_word(std::string_view text)
{
    return std::ranges::all_of(text, [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
    });
}

/// `name` of a field such as `form-data; name="file"; filename="a;b.wav"`.
std::string parameter(std::string_view field, std::string_view name)
{
    for (std::size_t at = field.find(';'); at != field.npos;) {
        const auto equals = field.find('=', at);
        if (equals == field.npos) {
            break;
        }
        const auto key = base::trim(field.substr(at + 1, equals - at - 1));
        std::string value;
        std::size_t end = equals + 1;
        if (end < field.size() && field[end] == '"') {
            for (++end; end < field.size() && field[end] != '"'; ++end) {
                end += field[end] == '\\' && end + 1 < field.size() ? 1U : 0U;
                value += field[end];
            }
        } else {
            value = base::trim(field.substr(end, field.find(';', end) - end));
        }
        if (base::iequals(key, name)) {
            return value;
        }
        at = field.find(';', end);
    }
    return {};
}

/// The value of the part's Content-Disposition.
std::string_view disposition_of(std::string_view head)
{
    while (!head.empty()) {
        const auto end = std::min(head.find("\r\n"), head.size());
        const auto line = head.substr(0, end);
        const auto colon = line.find(':');
        if (colon != line.npos && base::iequals(base::trim(line.substr(0, colon)), "content-disposition")) {
            return line.substr(colon + 1);
        }
        head.remove_prefix(std::min(end + 2, head.size()));
    }
    return {};
}

std::string extension_of(std::string_view file_name)
{
    const auto dot = file_name.rfind('.');
    const auto extension = dot == file_name.npos ? std::string_view{} : file_name.substr(dot + 1);
    return extension.size() <= extension_bytes_max && is_word(extension) ? base::lower(extension) : std::string{};
}

/// False: a field that is too long.
bool take_part(AudioForm& form, std::string_view disposition, std::string_view content)
{
    const auto name = parameter(disposition, "name");
    if ((name == "audio" || name == "file") && !form.has_audio) {
        form.has_audio = true;
        form.audio = content;
        form.extension = extension_of(parameter(disposition, "filename"));
        return true;
    }
    auto* into = name == "model"      ? &form.model
        : name == "language"          ? &form.language
        : name == "response_format"   ? &form.response_format
                                      : nullptr;
    if (into == nullptr) {
        return true;
    }
    if (content.size() > field_bytes_max) {
        return false;
    }
    *into = base::trim(content);
    return true;
}

} // namespace

std::expected<AudioForm, std::string> parse_audio_form(std::string_view body, std::string_view content_type)
{
    const auto type = base::trim(content_type.substr(0, content_type.find(';')));
    const auto boundary = parameter(content_type, "boundary");
    if (!base::iequals(type, "multipart/form-data") || boundary.empty() || boundary.size() > boundary_bytes_max) {
        return std::unexpected("the body must be multipart/form-data with a boundary");
    }
    const std::string line = "--" + boundary;
    AudioForm form;
    const auto after_preamble = body.find("\r\n" + line);
    auto at = body.starts_with(line) ? 0 : after_preamble == body.npos ? body.npos : after_preamble + 2;
    for (int parts = 0; at != body.npos && parts <= parts_max; ++parts) {
        auto rest = body.substr(at + line.size());
        if (rest.starts_with("--")) {
            if (!form.language.empty() && (!is_word(form.language) || form.language.size() > 32)) {
                return std::unexpected("language must be a word such as en");
            }
            return form;
        }
        const auto head_end = rest.substr(0, head_bytes_max).find("\r\n\r\n");
        const auto end = head_end == rest.npos ? rest.npos : rest.find("\r\n" + line, head_end + 4);
        if (!rest.starts_with("\r\n") || end == rest.npos) {
            break;
        }
        if (!take_part(form, disposition_of(rest.substr(2, head_end - 2)), rest.substr(head_end + 4, end - head_end - 4))) {
            return std::unexpected("a field of the form is too long");
        }
        at += line.size() + end + 2;
    }
    return std::unexpected("the form does not end as its boundary says");
}

} // namespace herd::node
