#include "herd-node/media/media.hpp"

namespace herd::node {

Media::Media(net::Loop& loop, net::Network& network, http::Pool& pool, MediaOptions options, std::string_view path, ToolDesk::Mark mark,
             ToolDesk::Taken taken)
    : options_(std::move(options)), desk_(loop, std::move(mark), std::move(taken)), images_(desk_, options_, path), speech_(desk_, network, pool, options_)
{
    images_.add_rows(rows_);
    speech_.add_rows(rows_);
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
