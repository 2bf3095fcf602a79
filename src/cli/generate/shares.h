/* What the published orders look like, in numbers: shares of places and categories, of baskets, payments
 * and ends, and the scores that delays get. All shares are percent and describe the whole data set. */
#ifndef MILLRACE_CLI_GENERATE_SHARES_H
#define MILLRACE_CLI_GENERATE_SHARES_H

#include <stddef.h>

enum region { REGION_SE, REGION_S, REGION_NE, REGION_CO, REGION_N };
enum { STATES = 27, CATEGORIES = 28 };

struct state_share {
    const char *code;
    enum region region;
    double customers, sellers;
    const char *capital,
        *zip; /* where the state's centre of people is, for who has no place of their own */
    double lat, lng;
};

struct category_share {
    const char *name; /* as in products; NULL: products without a category */
    double items;
    double mu, sigma; /* of ln(price) */
    double weight_g;  /* median */
};

extern const struct state_share state_shares[STATES];
extern const struct category_share category_shares[CATEGORIES];
/* Index by code; the first (SP) when there is none. */
size_t state_find(const char *code);
/* Index by name (NULL: none); the first without share of its own when unknown. */
size_t category_find(const char *name);

/* Ends of orders, and of canceled ones the moment. */
enum order_end {
    END_DELIVERED,
    END_SHIPPED,
    END_CANCELED,
    END_UNAVAILABLE,
    END_INVOICED,
    END_PROCESSING,
    END_CREATED,
    END_APPROVED,
    ENDS
};
extern const double end_shares[ENDS];
enum cancel_stage { CANCEL_EARLY, CANCEL_APPROVED, CANCEL_SHIPPED, CANCEL_DELIVERED, CANCEL_STAGES };
extern const double cancel_shares[CANCEL_STAGES];

enum { ITEMS_MOST = 8 };
extern const double item_shares[ITEMS_MOST]; /* one, two, ... */

enum pay_way { PAY_CARD, PAY_BOLETO, PAY_CARD_VOUCHER, PAY_VOUCHER, PAY_DEBIT, PAY_WAYS };
extern const double pay_shares[PAY_WAYS];

enum { INSTALMENT_VALUES = 5, INSTALMENT_GROUPS = 5 };
/* By value of the order (below 50, 100, 200, 400, above): 1, 2-3, 4-6, 7-9, 10 and more. */
extern const double instalment_shares[INSTALMENT_VALUES][INSTALMENT_GROUPS];

enum { DELAYS = 7 };
extern const double score_by_delay[DELAYS][5];
extern const double score_by_end[ENDS][5]; /* of orders that were not delivered */

/* Transit compared with the year's median, January first. */
extern const double month_factor[12];

#endif
