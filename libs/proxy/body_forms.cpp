// The two bodies that are not plain JSON: a multipart form, and JSON packed with zstd.
#include "proxy/body_peek.hpp"

#include "base/text.hpp"

#include <zstd.h>

#include <memory>

namespace herd::proxy {
namespace {

constexpr std::size_t part_head_bytes_max = 4096;
constexpr std::size_t field_bytes_max = 1024;

struct Parameter {
    std::string value{}; ///< of the first one, quotes removed
    int count{0};        ///< also those in the extended form, `name*=`
};

/// Parameter `name` of a field such as `form-data; name="model"`.
Parameter parameter(std::string_view field, std::string_view name)
{
    Parameter found;
    std::size_t at = field.find(';');
    while (at != field.npos) {
        auto rest = base::trim(field.substr(at + 1));
        const auto equals = rest.find('=');
        if (equals == rest.npos) {
            return found;
        }
        auto key = base::trim(rest.substr(0, equals));
        auto value = rest.substr(equals + 1);
        std::string out;
        std::size_t used = 0;
        if (value.starts_with('"')) {
            for (used = 1; used < value.size() && value[used] != '"'; ++used) {
                if (value[used] == '\\' && used + 1 < value.size()) {
                    ++used;
                }
                out.push_back(value[used]);
            }
        } else {
            used = std::min(value.find(';'), value.size());
            out = base::trim(value.substr(0, used));
        }
        const bool extended = key.ends_with('*');
        key.remove_suffix(extended ? 1 : 0);
        if (base::iequals(key, name)) {
            if (!extended && found.value.empty()) {
                found.value = std::move(out);
            }
            ++found.count;
        }
        const auto begin = static_cast<std::size_t>(value.data() - field.data());
        at = field.find(';', begin + used);
    }
    return found;
}

/// The name of a form's part, by its head.
Parameter name_of_part(std::string_view head)
{
    Parameter name;
    while (!head.empty()) {
        const auto end = std::min(head.find("\r\n"), head.size());
        const auto line = head.substr(0, end);
        head.remove_prefix(std::min(end + 2, head.size()));
        const auto colon = line.find(':');
        if (colon != line.npos && base::iequals(base::trim(line.substr(0, colon)), "content-disposition")) {
            auto found = parameter(line.substr(colon + 1), "name");
            name.count += found.count;
            name.value = name.value.empty() ? std::move(found.value) : std::move(name.value);
        }
    }
    return name;
}

} // namespace

FormPeek peek_multipart(std::string_view body, std::string_view content_type)
{
    FormPeek form;
    if (!base::iequals(content_type.substr(0, std::min(content_type.find(';'), content_type.size())),
                       "multipart/form-data")) {
        return form;
    }
    const auto boundary = parameter(content_type, "boundary");
    if (boundary.value.empty() || boundary.value.size() > 70) {
        return form;
    }
    bool plain = boundary.count == 1;
    const auto line = "--" + boundary.value;
    auto at = body.find(line);
    plain = plain && at == 0;
    while (at != body.npos) {
        auto rest = body.substr(at + line.size());
        if (!rest.starts_with("\r\n")) {
            form.plain = plain && (rest == "--" || rest == "--\r\n"); // the last boundary, or the end of what we have
            return form;
        }
        rest.remove_prefix(2);
        const auto head_end = rest.substr(0, part_head_bytes_max).find("\r\n\r\n");
        if (head_end == rest.npos) {
            return form;
        }
        const auto content = rest.substr(head_end + 4);
        const auto end = content.find("\r\n" + line);
        const auto name = name_of_part(rest.substr(0, head_end));
        plain = plain && name.count == 1;
        if (name.value == "model") {
            if (form.models == 0 && (end == content.npos || end > field_bytes_max)) {
                return form;
            }
            if (++form.models == 1) {
                form.at = {static_cast<std::size_t>(content.data() - body.data()), end};
                form.model = content.substr(0, end);
            }
        }
        if (end == content.npos) {
            return form;
        }
        at = static_cast<std::size_t>(content.data() - body.data()) + end + 2;
    }
    return form;
}

std::optional<std::string> unpack_zstd(std::string_view packed, std::size_t limit)
{
    const std::unique_ptr<ZSTD_DCtx, std::size_t (*)(ZSTD_DCtx*)> context(ZSTD_createDCtx(), &ZSTD_freeDCtx);
    if (!context) {
        return std::nullopt;
    }
    // The window decides the memory a stranger can make us take: 8 MiB, as Go's decoder for HTTP allows.
    ZSTD_DCtx_setParameter(context.get(), ZSTD_d_windowLogMax, 23);
    std::string out;
    ZSTD_inBuffer in{packed.data(), packed.size(), 0};
    std::string piece(ZSTD_DStreamOutSize(), '\0');
    std::size_t hint = 1;
    while (in.pos < in.size) {
        ZSTD_outBuffer into{piece.data(), piece.size(), 0};
        hint = ZSTD_decompressStream(context.get(), &into, &in);
        if (ZSTD_isError(hint) != 0U || out.size() + into.pos > limit) {
            return std::nullopt;
        }
        out.append(piece, 0, into.pos);
    }
    while (hint != 0) { // what is still inside the decoder
        ZSTD_outBuffer into{piece.data(), piece.size(), 0};
        hint = ZSTD_decompressStream(context.get(), &into, &in);
        if (ZSTD_isError(hint) != 0U || out.size() + into.pos > limit) {
            return std::nullopt;
        }
        if (into.pos == 0) {
            return std::nullopt; // cut off inside a frame
        }
        out.append(piece, 0, into.pos);
    }
    return out;
}

} // namespace herd::proxy
