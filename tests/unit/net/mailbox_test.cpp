#include "net/mailbox.hpp"

#include "support/catch.hpp"
#include "support/run.hpp"

#include <numeric>
#include <thread>

using namespace herd;
using namespace std::chrono_literals;

TEST_CASE("a mailbox hands over in batches, a while after the first value")
{
    net::VirtualTime time;
    net::Loop loop;
    std::vector<std::vector<int>> batches;
    net::Mailbox<int> mailbox(loop, 3, 40ms, [&](std::vector<int>& batch) { batches.push_back(batch); });
    mailbox.put(1);
    mailbox.put(2);
    time.run_for(loop, 30ms);
    CHECK(batches.empty());
    mailbox.put(3);
    mailbox.put(4); // beyond the limit
    time.run_for(loop, 20ms);
    CHECK(batches == std::vector<std::vector<int>>{{1, 2, 3}});
    CHECK(mailbox.dropped() == 1);
    mailbox.put(5);
    mailbox.drain();
    CHECK(batches.back() == std::vector<int>{5});
    time.run_for(loop, 100ms);
    CHECK(batches.size() == 2); // the wake that was on its way finds nothing
    mailbox.put(6);
    time.run_for(loop, 50ms);
    CHECK(batches.back() == std::vector<int>{6});
}

TEST_CASE("a mailbox that fills does not wait for its time")
{
    constexpr int batch = net::Mailbox<int>::batch_max;
    net::VirtualTime time;
    net::Loop loop;
    std::vector<std::size_t> batches;
    net::Mailbox<int> mailbox(loop, 10 * batch, 40ms, [&](std::vector<int>& taken) { batches.push_back(taken.size()); });
    for (int i = 0; i < batch; ++i) {
        mailbox.put(int{i});
    }
    time.run_for(loop, 1ms);
    CHECK(batches == std::vector<std::size_t>{batch});
    mailbox.put(1);
    time.run_for(loop, 30ms);
    CHECK(batches.size() == 1); // a batch that is not full waits, counted from its own first value
    time.run_for(loop, 11ms);
    CHECK(batches.back() == 1);
}

TEST_CASE("a mailbox may go while a wake is on its way")
{
    net::VirtualTime time;
    net::Loop loop;
    int taken = 0;
    {
        net::Mailbox<int> mailbox(loop, 10, 1ms, [&](std::vector<int>& batch) { taken += static_cast<int>(batch.size()); });
        mailbox.put(1);
    }
    time.run_for(loop, 10ms);
    CHECK(taken == 0);
}

TEST_CASE("values of many threads all arrive, each once")
{
    constexpr int threads = 4;
    constexpr int each = 5000;
    net::Loop loop;
    long sum = 0;
    int count = 0;
    net::Mailbox<int> mailbox(loop, threads * each, 1ms, [&](std::vector<int>& batch) {
        count += static_cast<int>(batch.size());
        sum = std::accumulate(batch.begin(), batch.end(), sum);
    });
    std::vector<std::thread> senders;
    for (int t = 0; t < threads; ++t) {
        senders.emplace_back([&mailbox, t] {
            for (int i = 0; i < each; ++i) {
                mailbox.put(t * each + i);
            }
        });
    }
    CHECK(testing::run_until(loop, [&] { return count == threads * each; }));
    for (std::thread& sender : senders) {
        sender.join();
    }
    CHECK(sum == static_cast<long>(threads * each) * (threads * each - 1) / 2);
    CHECK(mailbox.dropped() == 0);
}
