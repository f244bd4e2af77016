#pragma once
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

#include <stdlib.h>

namespace herd::test {

/// A directory of its own, gone at the end.
struct Scratch {
    Scratch()
    {
        std::string pattern = (std::filesystem::temp_directory_path() / "herd-store-XXXXXX").string();
        path = ::mkdtemp(pattern.data());
    }
    Scratch(const Scratch&) = delete;
    Scratch& operator=(const Scratch&) = delete;
    ~Scratch() { std::filesystem::remove_all(path); }
    [[nodiscard]] std::string file(const char* name) const { return (path / name).string(); }
    std::filesystem::path path;
};

inline std::string content_of(const std::string& path)
{
    std::ifstream file(path);
    std::ostringstream text;
    text << file.rdbuf();
    return text.str();
}

} // namespace herd::test
