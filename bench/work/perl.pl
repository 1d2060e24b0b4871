# A program's day in Perl: hashes, strings, regular expressions, lists of lists. Prints a checksum.
use strict;
use warnings;

my %count;
my $state = 12345;
for my $i (1 .. 120000) {
    $state = ($state * 1103515245 + 12345) % 2147483648;
    my $word = 'w' . ($state % 30011) . ('x' x ($state % 23));
    $count{$word}++;
}
my @rows = map { [ $_, $count{$_}, length $_ ] } sort keys %count;
my $text = join "\n", map { join "\t", @$_ } @rows;
my $hits = 0;
$hits += length $1 while $text =~ /(\d+x{3,9})\t/g;
my @split = map { [ split /\t/ ] } split /\n/, $text;
my $sum = 0;
$sum += $_->[1] * $_->[2] for @split;
print scalar(@rows), " $hits $sum\n";
