#include "herd-node/media/private_folder.hpp"

#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace herd::node {

namespace {

/// Of mode 0700; empty when it cannot be made.
std::string make_directory()
{
    std::error_code ignored;
    std::string path = std::filesystem::temp_directory_path(ignored).string() + "/herd-media-XXXXXX";
    return ::mkdtemp(path.data()) == nullptr ? std::string{} : path;
}

void remove_directory(const std::string& path)
{
    std::error_code ignored;
    std::filesystem::remove_all(path, ignored);
}

bool write_file(const std::string& path, const std::string& bytes)
{
    std::ofstream out(path, std::ios::binary);
    out.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    out.close();
    return !out.fail();
}

std::optional<std::string> read_file(const std::string& path, std::size_t limit)
{
    std::error_code error;
    const auto size = std::filesystem::is_regular_file(path, error) ? std::filesystem::file_size(path, error) : 0;
    if (error || size == 0 || size > limit) {
        return std::nullopt;
    }
    std::string bytes(size, '\0');
    std::ifstream in(path, std::ios::binary);
    return in.read(bytes.data(), static_cast<std::streamsize>(size)) ? std::optional(std::move(bytes)) : std::nullopt;
}

} // namespace

net::Task<std::unique_ptr<PrivateFolder>> PrivateFolder::make(net::Loop& loop, net::Blocking& worker)
{
    auto path = co_await worker.ask(loop, make_directory);
    co_return path && !path->empty() ? std::unique_ptr<PrivateFolder>(new PrivateFolder(worker, std::move(*path))) : nullptr;
}

PrivateFolder::~PrivateFolder()
{
    if (!worker_.submit([path = path_] { remove_directory(path); })) {
        remove_directory(path_);
    }
}

net::Task<bool> PrivateFolder::write(net::Loop& loop, std::string name, std::string bytes) const
{
    const auto answer = co_await worker_.ask(loop, [path = file(name), bytes = std::move(bytes)] { return write_file(path, bytes); });
    co_return answer.value_or(false);
}

net::Task<std::optional<std::string>> PrivateFolder::read(net::Loop& loop, std::string name, std::size_t limit) const
{
    auto answer = co_await worker_.ask(loop, [path = file(name), limit] { return read_file(path, limit); });
    co_return answer ? std::move(*answer) : std::nullopt;
}

} // namespace herd::node
