#pragma once
// JSON as files hold it (RFC 8259), read in one pass without a tree: a reader of known data asks
// for what comes next, so that a file takes no more memory than what is made of it. Whatever is not
// as asked for is a FileError that says where.
#include <cstdint>
#include <string>
#include <string_view>

namespace sn {

class JsonReader {
public:
    // `what`: how errors call the text ("the graph"). The text must outlive the reader.
    JsonReader(std::string_view text, std::string_view what) : text_(text), what_(what) {}

    // An object: begin, then next_key() until it gives false; the members are read in between.
    void begin_object() { open('{'); }
    bool next_key(std::string* key);
    // ... or, where the order is fixed: each key in turn, then end.
    void key(std::string_view name);
    void end_object();
    // An array: begin, then next_item() until it gives false; the items are read in between.
    void begin_array() { open('['); }
    bool next_item();

    std::string string();
    int64_t integer();  // no fraction, no exponent
    double number();
    bool boolean();
    // The text of whatever comes next, checked.
    std::string_view raw();
    bool at(char first);  // whether the next value starts with this character
    void end();           // nothing may follow

    [[noreturn]] void fail_here(const std::string& problem) const;

private:
    void skip_space();
    void open(char bracket);
    void take(char wanted);
    bool next(char closing);
    std::string_view number_text();
    template <class T>
    T number_as(const char* what);
    void skip_value();
    uint32_t hex4();

    static constexpr int kMaxDepth = 64;
    std::string_view text_;
    std::string_view what_;
    size_t at_ = 0;
    int depth_ = 0;
    bool first_ = false;  // nothing has been read of the innermost object or array
};

// Appends a string with its quotes; what is no UTF-8 becomes the replacement character.
void append_json(std::string& out, std::string_view text);
// The shortest form that reads back as the same number; infinities and NaN as strings.
void append_json(std::string& out, double value);
// Reads what append_json has written of a double.
double read_float(JsonReader& json);

}  // namespace sn
