from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('instances_app', '0008_glance'),
    ]

    operations = [
        migrations.AddField(
            model_name='instance',
            name='moved_at',
            field=models.DateTimeField(blank=True, null=True),
        ),
    ]
