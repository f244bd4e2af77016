#pragma once
// A box for probes to look at: files and links under a temporary directory, gone with the object.
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include <unistd.h>

namespace herd::test {

class Box {
public:
    Box()
    {
        std::string pattern = (std::filesystem::temp_directory_path() / "herd-box-XXXXXX").string();
        root_ = ::mkdtemp(pattern.data());
    }
    Box(const Box&) = delete;
    Box& operator=(const Box&) = delete;
    ~Box()
    {
        std::error_code ignored;
        std::filesystem::remove_all(root_, ignored);
    }

    void file(const std::string& path, const std::string& text) const
    {
        const auto full = root_ / path;
        std::filesystem::create_directories(full.parent_path());
        std::ofstream(full, std::ios::binary) << text;
    }
    void link(const std::string& path, const std::string& target) const
    {
        const auto full = root_ / path;
        std::filesystem::create_directories(full.parent_path());
        std::filesystem::create_symlink(target, full);
    }
    void remove(const std::string& path) const { std::filesystem::remove_all(root_ / path); }
    [[nodiscard]] std::string root() const { return root_.string(); }

private:
    std::filesystem::path root_;
};

/// A file of tests/unit/herd_node/recorded/; tests run in the repository's root.
inline std::string recorded(const std::string& name)
{
    std::ifstream file("tests/unit/herd_node/recorded/" + name, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

} // namespace herd::test
