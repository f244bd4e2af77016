#pragma once
// One line per exchange: who, what, where, how long each phase took, and a two-letter end.
#include "proxy/record.hpp"

namespace herd::app {

void write_access_line(const proxy::ExchangeRecord& record);

} // namespace herd::app
