#include "base/cgroup.h"

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string_view>
#include <vector>

namespace sn {
namespace {

// The lines of a small file; none when it cannot be read. Without streams: they would bring the
// locales of the C++ library along, which are a tenth of the runtime's size.
std::vector<std::string> lines_of(const std::string& path) {
    std::vector<std::string> lines;
    const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(
        std::fopen(path.c_str(), "r"), [](std::FILE* f) { return f ? std::fclose(f) : 0; });
    if (!file) return lines;
    bool open = false;
    for (int c; (c = std::fgetc(file.get())) != EOF;) {
        if (!open) lines.emplace_back();
        open = c != '\n';
        if (open) lines.back() += static_cast<char>(c);
    }
    return lines;
}

std::vector<std::string_view> split(std::string_view text, char at) {
    std::vector<std::string_view> parts;
    while (!text.empty()) {
        const size_t end = text.find(at);
        if (end != 0) parts.push_back(text.substr(0, end));
        if (end == std::string_view::npos) break;
        text.remove_prefix(end + 1);
    }
    return parts;
}

// The words of the first line of a small file.
std::vector<std::string> first_words(const std::string& path) {
    const std::vector<std::string> lines = lines_of(path);
    std::vector<std::string> words;
    if (lines.empty()) return words;
    for (const std::string_view word : split(lines[0], ' ')) words.emplace_back(word);
    return words;
}

bool to_number(const std::vector<std::string>& words, size_t which, double* value) {
    if (which >= words.size()) return false;
    char* end = nullptr;
    *value = std::strtod(words[which].c_str(), &end);
    return end != words[which].c_str();
}

bool has_item(std::string_view list, std::string_view item) {
    for (const std::string_view part : split(list, ','))
        if (part == item) return true;
    return false;
}

// Where a controller's files of this process lie: the mount point and the path below it. The path
// in /proc/self/cgroup is seen from the host; inside a container the mount's own root is a prefix
// of it (or the whole of it), which has to be taken off.
struct Group {
    std::string mount, path;
    bool v2 = false;
};

bool find_group(const std::string& controller, Group* group) {
    std::string v1_path, v2_path;
    bool has_v1 = false, has_v2 = false;
    for (const std::string& line : lines_of("/proc/self/cgroup")) {
        const size_t a = line.find(':'), b = line.find(':', a + 1);
        if (a == std::string::npos || b == std::string::npos) continue;
        const std::string controllers = line.substr(a + 1, b - a - 1);
        if (controllers.empty()) {
            v2_path = line.substr(b + 1);
            has_v2 = true;
        } else if (has_item(controllers, controller)) {
            v1_path = line.substr(b + 1);
            has_v1 = true;
        }
    }
    if (!has_v1 && !has_v2) return false;
    for (const std::string& line : lines_of("/proc/self/mountinfo")) {
        const size_t dash = line.find(" - ");
        if (dash == std::string::npos) continue;
        // id parent device root point ... - type source options
        const auto left = split(std::string_view(line).substr(0, dash), ' '),
                   right = split(std::string_view(line).substr(dash + 3), ' ');
        if (left.size() < 5 || right.empty()) continue;
        const std::string root(left[3]), point(left[4]);
        // A machine may mount both hierarchies; a controller belongs to exactly one of them.
        const bool match =
            has_v1 ? right[0] == "cgroup" && right.size() > 2 && has_item(right[2], controller)
                   : right[0] == "cgroup2";
        if (!match) continue;
        std::string path = has_v1 ? v1_path : v2_path;
        if (root != "/") path = path.rfind(root, 0) == 0 ? path.substr(root.size()) : "";
        *group = Group{point, path == "/" ? "" : path, !has_v1};
        return true;
    }
    return false;
}

// The least value over the group and all groups around it; `read` gives -1 for "no limit".
template <class Read>
double least_over_levels(const Group& group, Read read) {
    double least = -1;
    std::string path = group.path;
    for (;;) {
        const double value = read(group.mount + path);
        if (value > 0 && (least < 0 || value < least)) least = value;
        if (path.empty()) return least;
        path.resize(path.rfind('/') == std::string::npos ? 0 : path.rfind('/'));
    }
}

}  // namespace

double cgroup_cpu_quota() {
    Group group;
    if (!find_group("cpu", &group)) return -1;
    return least_over_levels(group, [&](const std::string& folder) -> double {
        double q = 0, p = 0;  // v2 writes "max" and v1 writes -1 for "no limit"
        bool known = false;
        if (group.v2) {
            const std::vector<std::string> words = first_words(folder + "/cpu.max");
            known = to_number(words, 0, &q) && to_number(words, 1, &p);
        } else {
            known = to_number(first_words(folder + "/cpu.cfs_quota_us"), 0, &q) &&
                    to_number(first_words(folder + "/cpu.cfs_period_us"), 0, &p);
        }
        return known && q > 0 && p > 0 ? q / p : -1;
    });
}

int64_t cgroup_memory_limit() {
    Group group;
    if (!find_group("memory", &group)) return -1;
    const double least = least_over_levels(group, [&](const std::string& folder) -> double {
        double bytes = 0;
        const char* name = group.v2 ? "/memory.max" : "/memory.limit_in_bytes";
        if (!to_number(first_words(folder + name), 0, &bytes)) return -1;
        return bytes < 9e18 ? bytes : -1;  // v1 says "no limit" with a page-rounded 2^63
    });
    return least < 0 ? -1 : static_cast<int64_t>(least);
}

}  // namespace sn
