"""Sentence patterns by kind of writing; slots in braces are words of the lexicon or methods of the writer."""

BUSINESS = (
    "thank you for your letter of {date} about order {code}.",
    "we are pleased to confirm that the {product} was {verb_past} on {date}.",
    "our {department} department has {verb_past} the {thing} and found no {adjective} errors.",
    "the {adjective} shipment of {number} {material} parts left {place} on {weekday}.",
    "unfortunately the {thing} could not be {verb_past} because {reason}.",
    "please {verb} the enclosed {thing} and return one signed copy by {date}.",
    "the outstanding balance of {sum} is due within {number} days.",
    "should you have any questions, call {person}, our {role}, at {phone}.",
    "we would like to {verb} the {thing} together with you at {place}.",
    "a {adjective} price of {sum} applies to orders of more than {number} units.",
    "{person} will visit {place} in {month} to {verb} the {thing}.",
    "the {region} region reported {number} {adjective} orders, which is {percent} more than in {year}.",
    "we regret the delay and have credited {sum} to your account.",
    "the {role} asked us to {verb} all {things} before the end of {month}.",
    "as agreed by telephone, the {thing} will be {verb_past} at no extra cost.",
    "your customer number {code} should appear on every letter and invoice.",
    "in {year} we {adverb} {verb_past} {number} {things} for {company}.",
    "please note that {place} will be closed on {weekday}, {date}.",
    "we enclose a {adjective} list of {things} for the coming year.",
    "the guarantee for the {colour} {product} ends in {month} {year}.",
)

CLAUSES = (
    "the Tenant shall {verb} the premises and return every key to the {role}.",
    "neither party may disclose the {adjective} information of the other without written consent.",
    "the Supplier shall {verb} the goods within {number} days of the order.",
    "payment of {sum} is due on the first {weekday} of each month.",
    "this agreement begins on {date} and ends on {date} unless extended in writing.",
    "either party may end this agreement with {number} days' notice if {reason}.",
    "all {things} remain the property of {company}.",
    "any change of this agreement must be signed by both parties.",
    "the law of {country} applies to this agreement.",
    "the Recipient agrees to {verb} all copies of the {thing} on request.",
    "liability is limited to {sum} for each {adjective} claim.",
    "notices are to be sent to {place} by registered mail.",
)

SCIENCE = (
    "we studied {subject} with {method} at {number} {things} in {country}.",
    "the results show that {adjective} {things} were {adverb} {verb_past}.",
    "earlier work on {subject} used {method} and a {adjective} number of {things}.",
    "about {percent} of the {things} were {verb_past} more than once.",
    "the difference between the {region} and {region} groups was {adjective} but not significant.",
    "each {thing} was {verb_past} by one {role} and {adverb} {verb_past} by another.",
    "a {adjective} increase of {percent} was observed after {number} weeks.",
    "these {things} depend on the {material} surface and on the season.",
    "we excluded {number} {things} because {reason}.",
    "the {adjective} error was below {percent} at all {things}.",
    "in contrast to {last_name} ({year}), we {verb_past} every {thing} {adverb}.",
    "further {things} are needed to {verb} this {adjective} effect.",
    "the {thing} was kept at {number} degrees in {place}.",
    "Figure 1 compares the {adjective} {things} with the {adjective} ones.",
    "our {thing} is {adjective}, cheap and easy to {verb}.",
    "no {adjective} relation between {subject} and {subject} was found.",
    "costs fell by {percent} once the {things} had been {verb_past}.",
    "the survey of {year} lists {number} {adjective} {things}.",
    "two {things} were {verb_past} by a {role} without knowing the group.",
    "it remains open whether {method} can {verb} {adjective} {things}.",
)

SECTIONS = (
    "Introduction",
    "Materials and Methods",
    "Related Work",
    "Results",
    "Discussion",
    "Limits",
    "Conclusion",
    "Data",
)

TITLES = (
    "{method} for {subject}",
    "On {subject} and {subject}",
    "{subject}: {adjective} {things} from {country}",
    "How {adjective} {things} change {subject}",
    "Measuring {subject} with {method}",
)

NOTES = (
    "Payment within {number} days without deduction.",
    "Please state invoice number {code} with your payment.",
    "Goods remain our property until paid in full.",
    "Late payments bear interest of {percent} a year.",
    "Returns are accepted within {number} days in the original packaging.",
    "Bank: {city} Savings Bank, account {code}.",
    "Thank you for your business.",
    "Questions? Write to {email} or call {phone}.",
)

CLOSINGS = ("Yours sincerely,", "Kind regards,", "Yours faithfully,", "With best wishes,", "Respectfully,")
