#include "cli/input.hpp"

#include <array>
#include <fstream>
#include <iostream>

namespace herd::cli {

namespace {

constexpr std::size_t bytes_max = 64 * 1024 * 1024;

base::Result<std::string> read_all(std::istream& in, const std::string& name)
{
    std::string text;
    std::array<char, 65536> piece{};
    while (in.read(piece.data(), piece.size()) || in.gcount() > 0) {
        text.append(piece.data(), static_cast<std::size_t>(in.gcount()));
        if (text.size() > bytes_max) {
            return base::fail(base::Errc::too_large, name + " is too large");
        }
    }
    if (in.bad()) {
        return base::fail(base::Errc::io, "cannot read " + name);
    }
    return text;
}

} // namespace

base::Result<std::string> read_input(const std::string& path)
{
    if (path == "-") {
        return read_all(std::cin, "standard input");
    }
    std::ifstream file(path, std::ios::binary);
    if (!file) {
        return base::fail(base::Errc::not_found, "cannot open " + path);
    }
    return read_all(file, path);
}

} // namespace herd::cli
