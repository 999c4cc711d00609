from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('instances_app', '0014_transport_and_identity'),
    ]

    operations = [
        migrations.AddField(
            model_name='instance',
            name='monitored_only',
            field=models.BooleanField(default=False),
        ),
        migrations.AddIndex(
            model_name='instance',
            index=models.Index(condition=models.Q(('monitored_only', True)), fields=['environment'], name='instance_monitored_only'),
        ),
    ]
