#include "herd-node/media/media.hpp"

#include "base/log.hpp"
#include "net/blocking.hpp"

namespace herd::node {

namespace {

constexpr base::Duration look_every = std::chrono::seconds{5};

} // namespace

Media::Media(net::Loop& loop, net::Network& network, http::Pool& pool, MediaOptions options, std::string_view path, ToolDesk::Mark mark,
             ToolDesk::Taken taken)
    : loop_(loop), options_(std::move(options)), desk_(loop, std::move(mark), std::move(taken)), images_(desk_, options_, path), speech_(desk_, network, pool, options_), path_(path), timer_(loop)
{
    for (const auto& each : named_programs(options_)) {
        if (!can_run(each.program, path_)) {
            missing_.insert(each.program);
        }
    }
    list();
}

void Media::list()
{
    rows_.clear();
    images_.add_rows(rows_, missing_);
    speech_.add_rows(rows_, missing_);
}

void Media::start(net::Callback on_rows)
{
    on_rows_ = std::move(on_rows);
    look_later();
}

void Media::stop()
{
    timer_.cancel();
    desk_.stop();
}

/// Where all is there, nobody looks and no thread is started.
void Media::look_later()
{
    if (missing_.empty()) {
        return;
    }
    timer_.call_after(look_every, [this] {
        const auto look = [missing = missing_, path = path_]() mutable {
            std::erase_if(missing, [&](const std::string& program) { return can_run(program, path); });
            return missing;
        };
        const bool taken = desk_.worker().run(loop_, look, [self = std::weak_ptr(self_)](std::set<std::string> missing) {
            if (const auto media = self.lock()) {
                (*media)->found(std::move(missing));
            }
        });
        if (!taken) {
            look_later();
        }
    });
}

void Media::found(std::set<std::string> missing)
{
    if (missing != missing_) {
        missing_ = std::move(missing);
        list();
        log::info("media", "programs_found", {{"tools", rows_.size()}, {"missing", missing_.size()}});
        on_rows_();
    }
    look_later();
}

bool Media::may_be_for_tool(const proxy::Route& route, const http::RequestHead& head) const
{
    return route.tool != fleet::Tool::none && (images_.may_be_asked(route, head) || speech_.may_be_asked(route, head));
}

net::Task<std::optional<KeptBody>> Media::handle(http::ServerExchange& exchange, const proxy::Route& route)
{
    return route.tool == fleet::Tool::image ? images_.handle(exchange, route) : speech_.handle(exchange, route);
}

} // namespace herd::node
