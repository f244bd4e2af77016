#include "herd/rates_keeper.hpp"

#include "base/log.hpp"
#include "store/state_file.hpp"

#include <utility>

namespace herd::app {

namespace {

store::SavedRates saved_form(const fleet::Learned& one)
{
    return {.node = one.node,
            .digest = one.digest,
            .prefill_s = one.prefill_s,
            .prefill_slope_s = one.prefill_slope_s,
            .decode_s = one.decode_s,
            .decode_slope_s = one.decode_slope_s,
            .load_rate = one.load_rate,
            .weight = one.weight};
}

fleet::Learned fleet_form(store::SavedRates&& one)
{
    return {.node = one.node,
            .digest = std::move(one.digest),
            .prefill_s = one.prefill_s,
            .prefill_slope_s = one.prefill_slope_s,
            .decode_s = one.decode_s,
            .decode_slope_s = one.decode_slope_s,
            .load_rate = one.load_rate,
            .weight = one.weight};
}

} // namespace

RatesKeeper::RatesKeeper(net::Loop& loop, FleetOwner& fleet, std::string path)
    : loop_(loop), fleet_(fleet), path_(std::move(path)), timer_(loop)
{
}

void RatesKeeper::restore()
{
    auto loaded = store::load_rates(path_);
    if (!loaded.warning.empty()) {
        log::warn("store", "rates_unreadable", {{"what", loaded.warning}});
    }
    fleet::LearnedRestored restored;
    for (store::SavedRates& one : loaded.rates) {
        restored.figures.push_back(fleet_form(std::move(one)));
    }
    if (!restored.figures.empty()) {
        fleet_.apply(std::move(restored));
    }
    save_later();
}

void RatesKeeper::save_later()
{
    timer_.call_after(interval, [this] {
        save_if_changed();
        save_later();
    });
}

void RatesKeeper::save_last()
{
    timer_.cancel();
    save_if_changed();
}

void RatesKeeper::save_if_changed()
{
    std::vector<store::SavedRates> rates;
    for (const fleet::Learned& one : fleet_.learned()) {
        rates.push_back(saved_form(one));
    }
    std::string text = store::to_json(rates);
    if (rates.empty() || text == saved_) {
        return;
    }
    auto work = [path = path_, text] { return store::write_state_file(path, text); };
    auto done = [this](const base::Result<void>& saved) {
        if (!saved && !std::exchange(save_failed_, true)) {
            log::warn("store", "rates_not_saved", {{"why", saved.error().message()}});
        }
        save_failed_ = save_failed_ && !saved;
        if (!saved) {
            saved_.clear(); // again in a while
        }
    };
    if (files_.run(loop_, std::move(work), std::move(done))) {
        saved_ = std::move(text);
    }
}

} // namespace herd::app
