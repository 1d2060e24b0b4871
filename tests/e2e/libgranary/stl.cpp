// stl.cpp - maps, strings, lists and exceptions of the C++ library.
#include <iostream>
#include <list>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <unordered_map>
#include <vector>

int main() {
    std::map<std::string, std::vector<int>> lists;
    std::unordered_map<int, std::string> words;
    std::list<std::unique_ptr<std::string>> queue;
    unsigned x = 1;
    for (int i = 0; i < 60000; i++) {
        x = x * 1664525 + 1013904223;
        std::string key = "key-number-" + std::to_string(x % 7000);
        lists[key].push_back(i);
        words[static_cast<int>(x % 20000)] += key.substr(0, 5);
        if (i % 5 == 0) lists.erase("key-number-" + std::to_string((x >> 8) % 7000));
        queue.push_back(std::make_unique<std::string>(i % 60, 'x'));
        if (queue.size() > 3000) queue.pop_front();
    }
    size_t sum = 0;
    for (const auto &entry : lists) sum += entry.second.size() * entry.first.size();
    for (const auto &entry : words) sum += entry.second.size();
    int caught = 0;
    for (int i = 0; i < 1000; i++) {
        try {
            throw std::runtime_error(std::string(100, 'e'));
        } catch (const std::exception &error) {
            caught += std::string(error.what()).size() == 100;
        }
    }
    std::cout << lists.size() << ' ' << words.size() << ' ' << sum << ' ' << caught << '\n';
}
