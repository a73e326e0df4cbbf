/* SPDX-License-Identifier: MIT
 *
 * cities.c: /geocode: fifty cities, by the names that people give them.
 *
 * Coordinates are those of the city centres, rounded to a hundredth of a minute or so; addresses
 * are written as map services write them.
 */
#include <string.h>
#include <strings.h>

#include "support/server/internal.h"

static const struct city {
    const char
        *names; /* with a '|' between them; compared without regard to the case of ASCII letters */
    const char *address;
    double lat, lng;
} CITIES[] = {
    {"Amsterdam", "Amsterdam, Netherlands", 52.3676, 4.9041},
    {"Athens|Athina|Αθήνα", "Athens, Greece", 37.9838, 23.7275},
    {"Bangkok|Krung Thep", "Bangkok, Thailand", 13.7563, 100.5018},
    {"Barcelona", "Barcelona, Spain", 41.3874, 2.1686},
    {"Beijing|Peking|北京", "Beijing, China", 39.9042, 116.4074},
    {"Belgrade|Beograd|Београд", "Belgrade, Serbia", 44.8125, 20.4612},
    {"Berlin", "Berlin, Germany", 52.5200, 13.4050},
    {"Bologna", "Bologna, Italy", 44.4949, 11.3426},
    {"Bratislava", "Bratislava, Slovakia", 48.1486, 17.1077},
    {"Brno|Brünn", "Brno, Czechia", 49.1951, 16.6068},
    {"Brussels|Bruxelles|Brussel", "Brussels, Belgium", 50.8476, 4.3572},
    {"Bucharest|București|Bucuresti", "Bucharest, Romania", 44.4268, 26.1025},
    {"Budapest", "Budapest, Hungary", 47.4979, 19.0402},
    {"Buenos Aires", "Buenos Aires, Argentina", -34.6037, -58.3816},
    {"Cairo|القاهرة", "Cairo, Egypt", 30.0444, 31.2357},
    {"Cape Town|Kaapstad", "Cape Town, South Africa", -33.9249, 18.4241},
    {"Chicago", "Chicago, IL, USA", 41.8781, -87.6298},
    {"Copenhagen|København|Kobenhavn", "Copenhagen, Denmark", 55.6761, 12.5683},
    {"Delhi|Dehli|दिल्ली", "Delhi, India", 28.7041, 77.1025},
    {"Dublin|Baile Átha Cliath", "Dublin, Ireland", 53.3498, -6.2603},
    {"Gdańsk|Gdansk|Danzig", "Gdańsk, Poland", 54.3520, 18.6466},
    {"Helsinki|Helsingfors", "Helsinki, Finland", 60.1699, 24.9384},
    {"Istanbul|İstanbul", "İstanbul, Türkiye", 41.0082, 28.9784},
    {"Jakarta", "Jakarta, Indonesia", -6.2088, 106.8456},
    {"Kraków|Krakow|Cracow", "Kraków, Poland", 50.0647, 19.9450},
    {"Kyiv|Kiev|Київ", "Kyiv, Ukraine", 50.4501, 30.5234},
    {"Lima", "Lima, Peru", -12.0464, -77.0428},
    {"Lisbon|Lisboa", "Lisbon, Portugal", 38.7223, -9.1393},
    {"Ljubljana", "Ljubljana, Slovenia", 46.0569, 14.5058},
    {"London", "London, UK", 51.5072, -0.1276},
    {"Madrid", "Madrid, Spain", 40.4168, -3.7038},
    {"Mexico City|Ciudad de México", "Mexico City, CDMX, Mexico", 19.4326, -99.1332},
    {"Nairobi", "Nairobi, Kenya", -1.2921, 36.8219},
    {"New York|New York City|NYC", "New York, NY, USA", 40.7128, -74.0060},
    {"Oslo", "Oslo, Norway", 59.9139, 10.7522},
    {"Paris", "Paris, France", 48.8566, 2.3522},
    {"Prague|Praha", "Prague, Czechia", 50.0755, 14.4378},
    {"Reykjavik|Reykjavík", "Reykjavík, Iceland", 64.1466, -21.9426},
    {"Rome|Roma", "Rome, Metropolitan City of Rome Capital, Italy", 41.9028, 12.4964},
    {"Słubice|Slubice", "Słubice, Poland", 52.3507, 14.5600},
    {"Sofia|София", "Sofia, Bulgaria", 42.6977, 23.3219},
    {"Stockholm", "Stockholm, Sweden", 59.3293, 18.0686},
    {"Sydney", "Sydney NSW, Australia", -33.8688, 151.2093},
    {"Tokyo|東京", "Tokyo, Japan", 35.6764, 139.6500},
    {"Toronto", "Toronto, ON, Canada", 43.6532, -79.3832},
    {"Venice|Venezia", "Venice, Italy", 45.4408, 12.3155},
    {"Vienna|Vien|Wien", "Vienna, Austria", 48.2082, 16.3738},
    {"Warsaw|Warszawa", "Warsaw, Poland", 52.2297, 21.0122},
    {"Wrocław|Wroclaw|Breslau", "Wrocław, Poland", 51.1079, 17.0385},
    {"Zadar", "Zadar, Croatia", 44.1194, 15.2314},
};

static bool has_name(const char *names, const char *name)
{
    const size_t length = strlen(name);

    while (*names != '\0') {
        size_t n = strcspn(names, "|");

        if (n == length && strncasecmp(names, name, n) == 0)
            return true;
        names += n + (names[n] == '|');
    }
    return false;
}

void handle_geocode(struct server *server, const struct request *request, const char *rest,
                    struct response *response)
{
    char name[REQUEST_TARGET_MAX];

    if (query_value(request->query, "address", name, sizeof name) != 1 || *name == '\0') {
        respond_error(response, 400, "not /geocode?address=NAME");
        return;
    }
    for (size_t i = 0; i < sizeof CITIES / sizeof *CITIES; i++) {
        const struct city *city = &CITIES[i];

        if (has_name(city->names, name)) {
            respond_json(response, 200,
                         json_pack("{s:s, s:f, s:f}", "formatted_address", city->address, "lat",
                                   city->lat, "lng", city->lng));
            return;
        }
    }
    respond_error(response, 404, "no such place");
}
