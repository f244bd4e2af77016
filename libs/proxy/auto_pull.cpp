#include "proxy/auto_pull.hpp"

namespace herd::proxy {

void PullWait::answer(Answer said)
{
    loop_.dispatch([self = shared_from_this(), said = std::move(said)]() mutable {
        if (!self->answer_) {
            self->answer_ = std::move(said);
            self->over_.notify();
        }
    });
}

} // namespace herd::proxy
