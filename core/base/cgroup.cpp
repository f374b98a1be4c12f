#include "base/cgroup.h"

#include <unistd.h>

#include <fstream>
#include <sstream>

namespace sn {
namespace {

// The first word of a small file ("" when it cannot be read), and the second one if asked for.
std::string first_word(const std::string& path, std::string* second = nullptr) {
    std::ifstream file(path);
    std::string word;
    file >> word;
    if (second) file >> *second;
    return word;
}

bool to_number(const std::string& text, double* value) {
    std::istringstream stream(text);
    return static_cast<bool>(stream >> *value);
}

bool has_item(const std::string& list, const std::string& item) {
    std::istringstream stream(list);
    for (std::string part; std::getline(stream, part, ',');)
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
    std::ifstream cgroups("/proc/self/cgroup");
    for (std::string line; std::getline(cgroups, line);) {
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
    std::ifstream mounts("/proc/self/mountinfo");
    for (std::string line; std::getline(mounts, line);) {
        const size_t dash = line.find(" - ");
        if (dash == std::string::npos) continue;
        std::istringstream left(line.substr(0, dash)), right(line.substr(dash + 3));
        std::string id, parent, device, root, point, type, source, options;
        left >> id >> parent >> device >> root >> point;
        right >> type >> source >> options;
        // A machine may mount both hierarchies; a controller belongs to exactly one of them.
        const bool match =
            has_v1 ? type == "cgroup" && has_item(options, controller) : type == "cgroup2";
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
        std::string quota, period;
        if (group.v2) {
            quota = first_word(folder + "/cpu.max", &period);
        } else {
            quota = first_word(folder + "/cpu.cfs_quota_us");
            period = first_word(folder + "/cpu.cfs_period_us");
        }
        double q = 0, p = 0;  // v2 writes "max" and v1 writes -1 for "no limit"
        if (!to_number(quota, &q) || !to_number(period, &p) || q <= 0 || p <= 0) return -1;
        return q / p;
    });
}

int64_t cgroup_memory_limit() {
    Group group;
    if (!find_group("memory", &group)) return -1;
    const double least = least_over_levels(group, [&](const std::string& folder) -> double {
        double bytes = 0;
        const char* name = group.v2 ? "/memory.max" : "/memory.limit_in_bytes";
        if (!to_number(first_word(folder + name), &bytes)) return -1;
        return bytes < 9e18 ? bytes : -1;  // v1 says "no limit" with a page-rounded 2^63
    });
    return least < 0 ? -1 : static_cast<int64_t>(least);
}

int64_t physical_memory() {
    const long pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGESIZE);
    return pages < 0 || size < 0 ? -1 : static_cast<int64_t>(pages) * size;
}

int64_t resident_memory() {
    std::string pages;
    first_word("/proc/self/statm", &pages);
    double count = 0;
    if (!to_number(pages, &count)) return -1;
    return static_cast<int64_t>(count) * sysconf(_SC_PAGESIZE);
}

}  // namespace sn
