#include "herd-node/probes/text_file.hpp"

#include "base/text.hpp"
#include "net/socket.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <limits>
#include <memory>

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

namespace herd::node {

std::optional<std::string> read_text(const std::string& path, std::size_t limit)
{
    const net::Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY));
    if (!file.valid()) {
        return std::nullopt;
    }
    std::string text;
    std::array<char, 4096> block{};
    while (text.size() < limit) {
        const auto n = ::read(file.get(), block.data(), std::min(block.size(), limit - text.size()));
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return std::nullopt;
        }
        if (n == 0) {
            break;
        }
        text.append(block.data(), static_cast<std::size_t>(n));
    }
    return text;
}

std::vector<std::string> list_directory(const std::string& path)
{
    constexpr std::size_t names_max = 65536;
    std::vector<std::string> names;
    const std::unique_ptr<DIR, int (*)(DIR*)> directory(::opendir(path.c_str()), &::closedir);
    if (!directory) {
        return names;
    }
    while (names.size() < names_max) {
        const dirent* entry = ::readdir(directory.get()); // NOLINT(concurrency-mt-unsafe): one thread per DIR
        if (entry == nullptr) {
            break;
        }
        std::string name = static_cast<const char*>(entry->d_name);
        if (name != "." && name != "..") {
            names.push_back(std::move(name));
        }
    }
    std::ranges::sort(names);
    return names;
}

std::optional<std::string> read_link(const std::string& path)
{
    std::array<char, 4096> target{};
    const auto n = ::readlink(path.c_str(), target.data(), target.size());
    if (n <= 0) {
        return std::nullopt;
    }
    return std::string(target.data(), static_cast<std::size_t>(n));
}

std::optional<std::int64_t> parse_number(std::string_view text)
{
    text = base::trim(text);
    std::int64_t value = 0;
    const char* end = text.data() + text.size();
    const auto [at, error] = std::from_chars(text.data(), end, value);
    return error == std::errc{} && at == end && !text.empty() ? std::optional{value} : std::nullopt;
}

std::optional<std::int64_t> read_number(const std::string& path)
{
    const auto text = read_text(path, 64);
    return text ? parse_number(*text) : std::nullopt;
}

std::optional<double> parse_decimal(std::string_view text)
{
    const auto dot = text.find('.');
    const auto whole = base::parse_unsigned(text.substr(0, dot));
    if (!whole) {
        return std::nullopt;
    }
    double value = static_cast<double>(*whole);
    if (dot != std::string_view::npos) {
        const auto digits = text.substr(dot + 1, 9);
        const auto fraction = base::parse_unsigned(digits);
        if (!fraction) {
            return std::nullopt;
        }
        double scale = 1;
        for (std::size_t i = 0; i < digits.size(); ++i) {
            scale *= 10;
        }
        value += static_cast<double>(*fraction) / scale;
    }
    return value;
}

std::vector<std::string_view> split_blanks(std::string_view text)
{
    std::vector<std::string_view> pieces;
    for (std::size_t at = 0; (at = text.find_first_not_of(" \t", at)) != std::string_view::npos;) {
        const auto end = std::min(text.find_first_of(" \t", at), text.size());
        pieces.push_back(text.substr(at, end - at));
        at = end;
    }
    return pieces;
}

std::optional<std::string_view> next_line(std::string_view& text)
{
    if (text.empty()) {
        return std::nullopt;
    }
    const auto end = text.find('\n');
    const auto line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    return line;
}

} // namespace herd::node
