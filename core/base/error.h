#pragma once
#include <cstdint>
#include <exception>
#include <string>
#include <string_view>

namespace sn {

// Each kind is one Python exception class and one stable code with a documentation page.
enum class ErrorKind : unsigned char {
    kShape,     // SN101  ShapeError(ValueError)
    kDType,     // SN102  DTypeError(TypeError)
    kIndex,     // SN103  IndexError
    kValue,     // SN104  ValueError
    kDevice,    // SN105  DeviceError(RuntimeError)
    kGrad,      // SN106  GradError(RuntimeError)
    kMemory,    // SN107  MemoryError
    kType,      // SN108  TypeError: a Python object of the wrong type
    kFile,      // SN109  FileError(OSError)
    kNumeric,   // SN110  NumericError(ArithmeticError): detect_nan
    kInternal,  // SN199  InternalError(RuntimeError): a bug in Sennit
};

// The one exception type of the core. `message` has the form
//   [op] what is (actual values); what is required; what to try
// `where` is filled on the way out: the user's source line and the module path.
class Error : public std::exception {
public:
    Error(ErrorKind kind, std::string op, std::string message);

    const char* what() const noexcept override { return text_.c_str(); }
    ErrorKind kind() const { return kind_; }
    const std::string& op() const { return op_; }
    const std::string& message() const { return message_; }
    const std::string& where() const { return where_; }
    // The first location given wins: it is nearest to the cause. A site is a number that the
    // recording side can turn into text (record/recorder.h); workers only have that.
    void set_where(std::string where);
    void set_site(uint32_t site) {
        if (!site_) site_ = site;
    }
    uint32_t site() const { return site_; }

private:
    void compose();
    ErrorKind kind_;
    uint32_t site_ = 0;
    std::string op_, message_, where_, text_;
};

const char* error_code(ErrorKind kind);

// What formats are checked as: with MinGW, those of its own printf (%zu, %lld), which is in use
// wherever libstdc++ is, and not those of Windows.
#if defined(__MINGW32__) && !defined(__clang__)
#define SN_PRINTF gnu_printf
#else
#define SN_PRINTF printf
#endif

// printf-style; "[op] " is put in front.
[[noreturn]] void fail(ErrorKind kind, std::string_view op, const char* format, ...)
    __attribute__((format(SN_PRINTF, 3, 4)));

// An invariant of Sennit's own code, checked in release builds too where it is cheap.
#define SN_CHECK(condition)                                         \
    do {                                                            \
        if (!(condition)) [[unlikely]]                              \
            ::sn::fail(::sn::ErrorKind::kInternal, "internal",      \
                       "%s:%d: %s does not hold; "                  \
                       "this is a bug in Sennit: please report it", \
                       __FILE__, __LINE__, #condition);             \
    } while (0)

}  // namespace sn
