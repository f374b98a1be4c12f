// What libstdc++ does when an exception has no handler: say its type, for which it brings a
// demangler of 50 kB along. No exception leaves the interface, so here that is an abort.
#include <cstdlib>

namespace __gnu_cxx {
void __verbose_terminate_handler();
void __verbose_terminate_handler() { std::abort(); }
}  // namespace __gnu_cxx
