#include "proxy/ask.hpp"

#include "http/hop.hpp"
#include "net/task_group.hpp"
#include "proxy/heads.hpp"

namespace herd::proxy {
namespace {

http::RequestHead head_for(const Question& question, const fleet::Address& address, std::string_view own_id)
{
    http::RequestHead head;
    head.method = question.method;
    head.target = question.path;
    address_to(head, address);
    head.fields.add("Accept", "application/json");
    if (!question.body.empty()) {
        head.fields.add("Content-Type", "application/json");
    }
    http::add_via(head.fields, own_id);
    return head;
}

// Everything borrowed here lives in ask_all's frame, which waits for us.
net::Task<void> ask_one(Context& context, const Question& question, std::string_view own_id, Reply& reply)
{
    auto head = head_for(question, reply.target.address, own_id);
    const http::FetchOptions options{
        .timeout = question.timeout, .fresh = !question.may_repeat, .trust = reply.target.address.trust()};
    const auto asked = context.loop.now();
    reply.answer = co_await http::fetch(context.loop, context.pool, reply.target.address.endpoint, std::move(head),
                                        question.body, options);
    reply.took = context.loop.now() - asked;
}

} // namespace

Target target_of(const fleet::NodeView& node) { return {node.id, node.name, node.address}; }

net::Task<std::vector<Reply>> ask_all(Context& context, std::string own_id, std::vector<Target> targets,
                                      Question question)
{
    std::vector<Reply> replies(targets.size());
    for (std::size_t i = 0; i < targets.size(); ++i) {
        replies[i].target = std::move(targets[i]);
    }
    if (replies.size() == 1) {
        co_await ask_one(context, question, own_id, replies.front());
        co_return replies;
    }
    net::TaskGroup group(context.loop, "proxy.ask");
    for (auto& reply : replies) {
        group.spawn("proxy.ask_one", ask_one(context, question, own_id, reply));
    }
    co_await group.join();
    co_return replies;
}

} // namespace herd::proxy
