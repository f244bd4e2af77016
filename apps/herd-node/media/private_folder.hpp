#pragma once
// A directory for the files of one request that nobody else can look into. Files are touched on a worker: none of it
// makes the loop wait.
#include "net/blocking.hpp"

#include <memory>
#include <optional>
#include <string>

namespace herd::node {

/// Thread: the loop's. What is in it is removed with it.
class PrivateFolder {
public:
    /// Nothing: it cannot be made.
    [[nodiscard]] static net::Task<std::unique_ptr<PrivateFolder>> make(net::Loop& loop, net::Blocking& worker);
    PrivateFolder(const PrivateFolder&) = delete;
    PrivateFolder& operator=(const PrivateFolder&) = delete;
    ~PrivateFolder();

    [[nodiscard]] std::string file(const std::string& name) const { return path_ + "/" + name; }
    [[nodiscard]] const std::string& path() const { return path_; }
    /// False: it cannot be written.
    [[nodiscard]] net::Task<bool> write(net::Loop& loop, std::string name, std::string bytes) const;
    /// The bytes of a file. Nothing: there is none, or more than `limit`.
    [[nodiscard]] net::Task<std::optional<std::string>> read(net::Loop& loop, std::string name, std::size_t limit) const;

private:
    PrivateFolder(net::Blocking& worker, std::string path) : worker_(worker), path_(std::move(path)) {}
    net::Blocking& worker_;
    std::string path_;
};

} // namespace herd::node
