#pragma once
// The whole test framework of the C++ tests. A test file is one program:
//
//     #include "check.h"
//     TEST(addition) { CHECK_EQ(1 + 1, 2); }
//     int main() { return sn::test::run(); }
//
// A plain main() may also call its own functions and end with `return sn::test::finish();`.
// A failed check is reported and counted, and the test goes on, so one run shows every failure.
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <sstream>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace sn::test {

struct Counts {
    long checks = 0;
    long failures = 0;
};
inline Counts& counts() {
    static Counts c;
    return c;
}

struct Case {
    const char* name;
    void (*body)();
};
inline std::vector<Case>& cases() {
    static std::vector<Case> list;
    return list;
}
struct AddCase {
    AddCase(const char* name, void (*body)()) { cases().push_back({name, body}); }
};

template <class T>
std::string show(const T& value) {
    if constexpr (std::is_same_v<T, bool>) {
        return value ? "true" : "false";
    } else if constexpr (std::is_floating_point_v<T>) {
        // Hexadecimal as well: two floats that differ in one bit may print alike in decimal.
        char text[96];
        std::snprintf(text, sizeof text, "%.9g (%a)", static_cast<double>(value),
                      static_cast<double>(value));
        return text;
    } else if constexpr (std::is_enum_v<T>) {
        return std::to_string(static_cast<long long>(value));
    } else if constexpr (std::is_same_v<T, std::nullptr_t>) {
        return "nullptr";
    } else if constexpr (requires(std::ostringstream& out) { out << value; }) {
        std::ostringstream out;
        if constexpr (std::is_integral_v<T>) {
            out << +value;  // int8_t is a number here, not a letter
        } else {
            out << value;
        }
        return out.str();
    } else {
        return "(a value)";
    }
}
inline std::string show(const std::string& value) { return '"' + value + '"'; }
inline std::string show(const char* value) {
    return value ? '"' + std::string(value) + '"' : "null";
}

inline void report(bool ok, const char* file, int line, const std::string& text) {
    ++counts().checks;
    if (ok) return;
    // A kernel that is wrong everywhere must not drown the first, useful line.
    if (++counts().failures <= 50) std::fprintf(stderr, "%s:%d: %s\n", file, line, text.c_str());
}

template <class A, class B>
bool equal(const A& a, const B& b) {
    if constexpr (std::is_integral_v<A> && std::is_integral_v<B> && !std::is_same_v<A, bool> &&
                  !std::is_same_v<B, bool>) {
        return std::cmp_equal(+a, +b);  // 1u == -1 must not hold by conversion
    } else {
        return a == b;
    }
}

template <class A, class B>
void check_eq(const A& a, const B& b, const char* what, const char* file, int line) {
    bool ok = equal(a, b);
    report(ok, file, line, ok ? "" : std::string(what) + ": " + show(a) + " is not " + show(b));
}

template <class A, class B>
void check_near(const A& a, const B& b, double tolerance, const char* what, const char* file,
                int line) {
    double x = static_cast<double>(a), y = static_cast<double>(b);
    bool ok = x == y || (std::isnan(x) && std::isnan(y)) || std::fabs(x - y) <= tolerance;
    report(ok, file, line,
           ok ? ""
              : std::string(what) + ": " + show(x) + " is not within " + show(tolerance) + " of " +
                    show(y));
}

// Bit equality is the product's promise, so it has a check of its own: -0 differs from +0, and NaN
// equals the same NaN.
template <class T>
void check_bits(const T* a, const T* b, size_t count, const char* what, const char* file,
                int line) {
    size_t bad = count;
    for (size_t i = 0; i < count && bad == count; ++i) {
        if (std::memcmp(a + i, b + i, sizeof(T)) != 0) bad = i;
    }
    bool ok = bad == count;
    report(ok, file, line,
           ok ? ""
              : std::string(what) + ": element " + std::to_string(bad) + " of " +
                    std::to_string(count) + ": " + show(a[bad]) + " has not the bits of " +
                    show(b[bad]));
}

template <class F>
void check_throws(F&& body, const char* part, const char* what, const char* file, int line) {
    std::string got = "nothing";
    bool ok = false;
    try {
        body();
    } catch (const std::exception& error) {
        got = std::string("\"") + error.what() + '"';
        ok = std::strstr(error.what(), part) != nullptr;
    }
    report(ok, file, line,
           ok ? "" : std::string(what) + " threw " + got + ", wanted a text with \"" + part + '"');
}

// Prints the summary line and gives main()'s exit status.
inline int finish() {
    const Counts& c = counts();
    std::printf("%ld checks, %ld failed\n", c.checks, c.failures);
    return c.failures == 0 ? 0 : 1;
}

// Runs every TEST, or those whose name contains the program's argument when main passes it on.
inline int run(int argc = 0, char** argv = nullptr) {
    for (const Case& test : cases()) {
        if (argc > 1 && !std::strstr(test.name, argv[1])) continue;
        long before = counts().failures;
        try {
            test.body();
        } catch (const std::exception& error) {
            report(false, test.name, 0, std::string("unexpected exception: ") + error.what());
        }
        if (counts().failures != before) std::fprintf(stderr, "FAILED %s\n", test.name);
    }
    return finish();
}

}  // namespace sn::test

#define TEST(name)                                                    \
    static void test_##name();                                        \
    static const ::sn::test::AddCase add_##name(#name, &test_##name); \
    static void test_##name()

#define CHECK(...)                                                         \
    ::sn::test::report(static_cast<bool>(__VA_ARGS__), __FILE__, __LINE__, \
                       "does not hold: " #__VA_ARGS__)
#define CHECK_EQ(a, b) ::sn::test::check_eq((a), (b), #a " == " #b, __FILE__, __LINE__)
#define CHECK_NEAR(a, b, tolerance) \
    ::sn::test::check_near((a), (b), (tolerance), #a " ~ " #b, __FILE__, __LINE__)
#define CHECK_BITS(a, b, count) \
    ::sn::test::check_bits((a), (b), (count), #a " vs " #b, __FILE__, __LINE__)
#define CHECK_THROWS(expression, part) \
    ::sn::test::check_throws([&] { (void)(expression); }, (part), #expression, __FILE__, __LINE__)
